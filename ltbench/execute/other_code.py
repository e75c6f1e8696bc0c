"""Which results are of code that is no longer current. Needs no torch; reads heads of records only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ltbench.trial import store
from ltbench.trial.asked_code import Asked, Code, read_asked
from ltbench.trial.checked import checked_bytes
from ltbench.trial.ensemble_record import codes_of_member


class _Training(msgspec.Struct):
    name: str = ""
    digest: str | None = None


class _Identity(msgspec.Struct):
    training: _Training = msgspec.field(default_factory=_Training)


class _Method(msgspec.Struct):
    name: str = ""
    digest: str = ""


class _Member(msgspec.Struct):
    method: _Method = msgspec.field(default_factory=_Method)
    training: str = ""
    training_digest: str = ""


class _Ensemble(msgspec.Struct):
    members: list[_Member] = msgspec.field(default_factory=list)


class _Head(msgspec.Struct):
    """What a trial, a stream or an evaluation says about its code; the rest is passed over."""

    created: str = ""
    training: _Training = msgspec.field(default_factory=_Training)
    identity: _Identity | None = None
    imported: object = None
    ensemble: _Ensemble | None = None
    method: str = ""
    method_digest: str | None = None
    strategy: str = ""
    strategy_digest: str | None = None


@dataclass(frozen=True)
class Coded:
    """A trial folder or the file of a row, and the code it stands on; imported models have none."""

    path: Path
    codes: tuple[Code, ...]
    created: str
    is_trial: bool


@dataclass(frozen=True)
class CodeSurvey:
    """found: by trial folder, the trial itself first; current[kind, name]: the digest."""

    found: dict[Path, list[Coded]]
    current: dict[tuple[str, str], str]

    def trial_code(self, folder: Path) -> Code | None:
        codes = [code for c in self.found.get(folder, ()) if c.is_trial for code in c.codes]
        return codes[0] if codes else None

    def others(self, folder: Path) -> list[tuple[Coded, Code]]:
        """What is of other code: the trial alone where it is, else some of its rows."""
        other = []
        for coded in self.found.get(folder, ()):
            old = [code for code in coded.codes if self.is_other(code)]
            if old:
                other.append((coded, old[0]))
                if coded.is_trial:
                    break
        return other

    def is_other(self, code: Code) -> bool:
        return self.current.get((code.kind, code.name), code.digest) != code.digest


def survey_code(results: Path, folders: Iterable[Path]) -> CodeSurvey:
    """The code of every finished trial and its rows. Raises :class:`InputError` (the noted codes)."""
    found = {folder: list(_coded(folder)) for folder in folders}
    return CodeSurvey(found, _current(found, read_asked(results)))


def _current(found: dict[Path, list[Coded]], asked: Asked) -> dict[tuple[str, str], str]:
    made: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for coded in (coded for several in found.values() for coded in several):
        for kind, name, digest in coded.codes:
            known = made[kind, name]
            known[digest] = max(known.get(digest, ""), coded.created)
    return {(kind, name): asked.current(kind, name, times) for (kind, name), times in made.items()}


def _coded(folder: Path) -> Iterator[Coded]:
    trial = _head(folder / store.TRIAL)
    if trial is None:
        return
    told = trial.training.digest
    if told is None:
        told = trial.identity.training.digest if trial.identity is not None else None
    codes: tuple[Code, ...] = ()
    if told is not None and not trial.imported:
        codes = (Code("method", trial.training.name, told), *_codes_of_members(trial))
    yield Coded(folder, codes, trial.created, is_trial=True)
    for path in sorted(folder.glob("evaluations/*.json")) + sorted(folder.glob("streams/*.json")):
        head = _head(path)
        if head is None:
            continue
        codes = (Code("strategy", head.strategy, head.strategy_digest or ""),)
        if not trial.imported:
            own = told if head.method == trial.training.name else ""
            digest = own if head.method_digest is None else head.method_digest
            codes = (Code("method", head.method, digest or ""), *codes)
        yield Coded(path, codes, head.created, is_trial=False)


def _codes_of_members(trial: _Head) -> Iterator[Code]:
    for member in trial.ensemble.members if trial.ensemble is not None else ():
        method = member.method
        yield from codes_of_member(
            method.name, method.digest, member.training, member.training_digest
        )


def _head(path: Path) -> _Head | None:
    """None where the file is absent or not readable: then it is left alone."""
    try:
        return msgspec.json.decode(checked_bytes(path), type=_Head)
    except (OSError, ValueError, RecursionError):
        return None
