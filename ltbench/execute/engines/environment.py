"""What the processes of an engine find in their environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def for_jobs() -> dict[str, str]:
    """For jobs: they find this very ltbench, installed or not, and nothing else of the folder."""
    root = str(Path(__file__).parents[3])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([*paths, root])),
        "PYTHONSAFEPATH": "1",
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }


@contextmanager
def environment_set(values: Mapping[str, str]) -> Iterator[None]:
    """With these variables for whatever is started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
