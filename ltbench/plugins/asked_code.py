"""Which code of a method or strategy was asked for last: a small file in the results folder.

Results of several digests may lie side by side; those of the code that `run` or `evaluate` was asked
for last are the current ones, also where all its work was done before. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ltbench.errors import InputError
from ltbench.files import read_json, write_json
from ltbench.trial.claim import turn

FILE = "code.json"
_LOCK = ".code.lock"
_SCHEMA = 1


class Code(NamedTuple):
    """kind: ``method`` or ``strategy``; digest: empty for what ltbench ships."""

    kind: str
    name: str
    digest: str

    @property
    def short(self) -> str:
        """As messages and tables name it."""
        return self.digest[:8] if self.digest else "as shipped"


@dataclass(frozen=True)
class Asked:
    """digests[kind, name]: in the order in which they were last asked for, the current one last."""

    digests: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def place(self, code: Code) -> int:
        """The higher, the later it was asked for; -1 where that is not known."""
        known = self.digests.get((code.kind, code.name), ())
        return known.index(code.digest) if code.digest in known else -1

    def current(self, kind: str, name: str, made: Mapping[str, str]) -> str:
        """The digest asked for last; where nothing tells, the one with the latest record.

        made: digest to the time of its latest record.
        """
        known = self.digests.get((kind, name))
        return known[-1] if known else max(made, key=lambda digest: (made[digest], digest))


def read_asked(results: Path) -> Asked:
    """Empty where nothing was noted: only shipped code was asked for, or by an older ltbench.

    Raises :class:`InputError` where the file is not readable.
    """
    path = results / FILE
    if not path.exists():
        return Asked()
    record = read_json(path)
    try:
        if record["schema"] > _SCHEMA:
            raise InputError(f"{path} is of a newer ltbench; update ltbench")
        return Asked(
            {
                (kind, name): tuple(map(str, digests))
                for kind in ("method", "strategy")
                for name, digests in record[kind].items()
                if digests
            }
        )
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path} is not readable: no list of code digests; without the file the code with the "
            "latest record is the current one"
        ) from None


def note_asked(results: Path, codes: Iterable[Code]) -> None:
    """Makes ``codes`` the current ones. Shipped code alone leaves no file where there is none."""
    wanted = sorted(set(codes))
    if not (results / FILE).exists() and not any(code.digest for code in wanted):
        return
    if all(_is_last(read_asked(results), code) for code in wanted):
        return
    # Two runs at once: neither forgets what the other noted.
    with turn(results / _LOCK, str(results / FILE)):
        digests = dict(read_asked(results).digests)
        for code in wanted:
            before = digests.get((code.kind, code.name), ())
            others = tuple(digest for digest in before if digest != code.digest)
            digests[code.kind, code.name] = (*others, code.digest)
        record: dict[str, object] = {"schema": _SCHEMA}
        for kind in ("method", "strategy"):
            record[kind] = {n: list(d) for (k, n), d in sorted(digests.items()) if k == kind}
        write_json(results / FILE, record)


def _is_last(asked: Asked, code: Code) -> bool:
    return asked.digests.get((code.kind, code.name), ())[-1:] == (code.digest,)
