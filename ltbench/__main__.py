"""``python -m ltbench``."""

from ltbench.cli import program

program()
