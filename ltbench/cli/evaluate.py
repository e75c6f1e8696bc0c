"""``ltbench evaluate``: more rows or test sets on finished trials, without training."""

from __future__ import annotations

from typing import Any

import click

from ltbench.cli.options import plugin_option, protocol_options, results_option, run_options
from ltbench.cli.run import execute_command

EPILOG = """\b
Examples:
  ltbench evaluate --methods sade+none,ce+oracle --protocol digits-lt
  ltbench evaluate --methods sade --protocol digits-lt --test-ratios 2,3,30
  ltbench evaluate --methods ce --protocol cifar100-lt --mode augmented
  ltbench evaluate --methods sade --protocol digits-lt --arrival batch:64
"""


@click.command(name="evaluate", epilog=EPILOG)
@click.option(
    "--methods",
    required=True,
    metavar="LIST",
    help="Rows by commas: ce,'sade[tau=1]+none'; see `ltbench list methods`.",
)
@protocol_options
@run_options
@results_option
@plugin_option
def command(**arguments: Any) -> int:
    """Add strategies or test distributions to finished trials; nothing is trained."""
    return execute_command(train=False, dry_run=False, **arguments)
