"""A plugin of your own: written to start from, and checked against its contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.python.arguments import AnyPath, Plugins, optional_path, plugin_files

if TYPE_CHECKING:
    import pandas as pd

FINDING_COLUMNS = {
    "plugin": "str",
    "name": "str",
    "sentence": "str",
    "holds": "bool",
    "advice": "bool",
    "reason": "str",
}


def write_plugin(kind: str, name: str, folder: AnyPath = ".") -> tuple[Path, Path]:
    """Writes a working ``"method"``, ``"strategy"``, ``"protocol"`` or ``"source"``, and its test.

    As ``ltbench new``. Returns the two files; nothing is overwritten. Raises :class:`ValueError`
    for another kind, a name that is unusable or taken, and for files that are there.
    """
    from ltbench.errors import InputError, nearest
    from ltbench.scaffold import write

    if kind not in write.KINDS:
        listed = ", ".join(write.KINDS)
        raise InputError(f"kind = {kind!r} must be one of: {listed}{nearest(kind, write.KINDS)}")
    return write.write_plugin(kind, name, Path(folder))


def check_plugin(
    target: AnyPath, plugins: Plugins = (), *, data_dir: AnyPath | None = None
) -> pd.DataFrame:
    """Runs the contract tests on a plugin, by name or file, as ``ltbench check``.

    One row per property: ``plugin``, ``name`` and ``sentence`` of the property, ``holds``,
    ``advice`` (only to consider) and ``reason`` (why it does not hold). It keeps its contract where
    ``(frame.holds | frame.advice).all()``. data_dir: the images of a source
    that needs a folder. Raises :class:`ValueError` where there is no such plugin.
    """
    import os

    import pandas as pd

    from ltbench.contract.check import checks_of

    folder = optional_path(data_dir)
    checks = checks_of(os.fspath(target), plugin_files(plugins), data_dir=folder)
    findings = [check.finding() for check in checks]
    rows = [{**vars(finding), "holds": finding.holds} for finding in findings]
    return pd.DataFrame(rows, columns=list(FINDING_COLUMNS)).astype(FINDING_COLUMNS)
