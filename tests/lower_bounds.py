"""Prints the oldest supported versions, as pip's constraints: pyproject.toml's lower bounds as pins.

python tests/lower_bounds.py > constraints.txt
"""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pins(dependencies: list[str]) -> list[str]:
    """``"click>=8.1"`` to ``"click==8.1"``; raises ``ValueError`` for a dependency without a bound."""
    found = []
    for dependency in dependencies:
        name, sign, bound = dependency.partition(">=")
        if not sign or not bound.replace(".", "").isdigit():
            raise ValueError(f"{PROJECT.name}: {dependency!r} names no oldest version (name>=1.2)")
        found.append(f"{name}=={bound}")
    return found


if __name__ == "__main__":
    print("\n".join(pins(tomllib.loads(PROJECT.read_text())["project"]["dependencies"])))
