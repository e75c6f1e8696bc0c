"""Ensembles whose members are imports: checked before any work, then scored as imports are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ltbench.contract.gate import refuse_unsound
from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.evaluate.stored import evaluation_path, is_complete
from ltbench.execute.ensemble_record import standing_record, write_anew
from ltbench.execute.request import Request
from ltbench.imported.ensemble_trial import ImportedEnsemble, joint_outputs, joint_trial
from ltbench.imported.members import Scored, StoredImport, is_import, stored_imports
from ltbench.imported.outputs import ModelOutputs
from ltbench.imported.score import MODE, score_row, trial_outputs, trial_record
from ltbench.imported.stand_in import MARK, label, named_rows, stand_in
from ltbench.imported.task import PROTOCOL, free_task
from ltbench.method import Method, NoHyper
from ltbench.names import Call
from ltbench.registry import Plugin, Registries
from ltbench.resolve.ensembles import Member, ensemble_plugin, members_of
from ltbench.resolve.rows import ResolvedRow
from ltbench.task import Task, build_task
from ltbench.trial import store
from ltbench.trial.asked_code import note_asked
from ltbench.trial.ensemble_record import KEY, changed_member, member_entry

OnRow = Callable[[str, float], None]


@dataclass(frozen=True)
class Wanted:
    """An ensemble as it was asked for. names: of its members; strategies: None for its own."""

    name: str
    names: tuple[str, ...]
    strategies: tuple[Call | None, ...]

    def slots(self, replicate: int) -> list[tuple[str, int]]:
        """Name and seed of each member: of k imports of one name those of the seeds k r to k r + k - 1."""
        return [
            (name, self.names.count(name) * replicate + self.names[:i].count(name))
            for i, name in enumerate(self.names)
        ]


@dataclass(frozen=True, eq=False)
class Joint:
    """A replicate met with the arrays of its members, and its rows."""

    trial: ImportedEnsemble
    members: tuple[StoredImport, ...]
    outputs: ModelOutputs
    task: Task
    rows: tuple[ResolvedRow, ...]
    results: Path

    @property
    def folder(self) -> Path:
        return self.trial.folder(self.results)

    @property
    def state(self) -> str:
        """``new``, ``stale`` (a member is another one now) or ``finished``."""
        if standing_record(self.folder) is not None:
            return "finished"
        return "new" if store.finished_trial(self.folder) is None else "stale"

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        paths = (evaluation_path(self.folder, self.trial, row, MODE) for row in self.rows)
        sets, left_out = self.task.test_sets, self.task.left_out
        return self.state == "finished" and all(is_complete(p, sets, left_out) for p in paths)

    def score(self, on_row: OnRow) -> None:
        """Writes what is missing. Raises :class:`InputError` where that is not possible."""
        folder = self.folder
        try:
            with store.claim(folder):
                self._score(folder, on_row)
        except store.BusyError:
            raise InputError(f"{folder} is in use by another process; try again later") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"results folder {self.results} is not writable: {reason}") from None

    def _score(self, folder: Path, on_row: OnRow) -> None:
        store.sweep_temporaries(folder)
        record = self._record()
        if changed := changed_member(record, folder):  # since its arrays were read
            raise InputError(f"ensemble {self.trial.training}: {changed}")
        if standing_record(folder) is None:
            write_anew(folder, record)
        note_asked(self.results, {row.codes()[1] for row in self.rows})
        scored = trial_outputs(self.trial, self.outputs, self.task)
        for row in self.rows:
            told = f"{label(row)}, replicate {self.trial.seed}"
            on_row(told, score_row(folder, row, scored))

    def _record(self) -> dict[str, Any]:
        parts = members_of(self.rows[0].method)
        entries = [
            member_entry(part.label, part.facts(), member.record)
            for part, member in zip(parts, self.members, strict=True)
        ]
        return trial_record(self.trial, self.outputs, self.task) | {KEY: {"members": entries}}


def prepare_joint(
    wanted: Sequence[Wanted], request: Request, registries: Registries
) -> tuple[list[Joint], list[str]]:
    """The replicates that can be formed, and a note on each that was asked for and cannot.

    request.seeds None: all for which there are imports. Raises :class:`InputError` with one line where
    no replicate of an ensemble is left, members are of different data, or a row needs more than they
    bring.
    """
    _check_options(wanted, request)
    task = _task_of_protocol(request)
    home = PROTOCOL if task is None else task.protocol.name
    joint: list[Joint] = []
    notes: list[str] = []
    for one in wanted:
        _check_name(one.name, request.results, home, registries)
        there = {name: list(stored_imports(request.results, home, name)) for name in one.names}
        replicates, left_out = _replicates(one, there, _seeds(request, task))
        notes += left_out
        known = None if task is None else _scored_of(task)
        for replicate in replicates:
            chosen = _choose(one, _candidates(one, replicate, there), known)
            known = known or chosen[0].scored
            joint.append(_joint(one, replicate, chosen, task, request, registries))
    return joint, notes


def _check_options(wanted: Sequence[Wanted], request: Request) -> None:
    for option, given in (
        ("--mode", request.mode != "clean"),
        ("--precision", request.precision != "default"),
        ("--arrival", bool(request.arrivals)),
    ):
        if given:
            raise InputError(
                f"{option} is for trials of ltbench, not for {wanted[0].name}, an ensemble of imports"
            )


def _check_name(name: str, results: Path, home: str, registries: Registries) -> None:
    if name in registries.methods.plugins:
        raise InputError(f"ensemble {name!r} has the name of a method; choose another one")
    if is_import(results, home, name):
        raise InputError(f"ensemble {name!r} has the name of an import; choose another one")


def _task_of_protocol(request: Request) -> Task | None:
    """None under the protocol ``imported``, whose task the members themselves tell."""
    if request.protocol == PROTOCOL:
        return None
    protocol = request.load_protocol()
    splits = open_data(protocol.data, request.data_dir, download=not request.dry_run)
    return build_task(protocol, splits)


def _scored_of(task: Task) -> Scored:
    test = task.splits.test
    return Scored(
        task.protocol.name,
        torch.tensor(test.labels, dtype=torch.int64),
        list(test.class_names),
        task.train.counts.tolist(),
        (task.splits.train.fingerprint, test.fingerprint),
    )


def _seeds(request: Request, task: Task | None) -> Sequence[int] | None:
    """Those asked for; a protocol's own are for trainings, and imports have those that they have."""
    if task is not None and "seeds" in request.overrides:
        if request.seeds is not None:
            raise InputError("seeds are given twice, by the request and as an override; give one")
        return task.protocol.seeds
    return request.seeds


def _replicates(
    one: Wanted, there: dict[str, list[StoredImport]], seeds: Sequence[int] | None
) -> tuple[list[int], list[str]]:
    asked = seeds
    if asked is None:
        last = max((found.seed for several in there.values() for found in several), default=-1)
        asked = [r for r in range(last + 1) if not _missing(one, r, there)] or [0]
    left_out = [told for r in asked if (told := _missing(one, r, there))]
    if len(left_out) == len(asked):
        raise InputError(left_out[0])
    return [r for r in asked if not _missing(one, r, there)], left_out


def _missing(one: Wanted, replicate: int, there: dict[str, list[StoredImport]]) -> str:
    for name, seed in one.slots(replicate):
        seeds = sorted({found.seed for found in there[name]})
        if seed not in seeds:
            known = ", ".join(map(str, seeds)) or "none"
            return (
                f"{one.name} has no replicate {replicate}: {name} seed {seed} is not imported (seeds "
                f"that are: {known})"
            )
    return ""


def _candidates(
    one: Wanted, replicate: int, there: dict[str, list[StoredImport]]
) -> list[list[StoredImport]]:
    return [
        [found for found in there[name] if found.seed == seed]
        for name, seed in one.slots(replicate)
    ]


def _choose(
    one: Wanted, candidates: Sequence[Sequence[StoredImport]], known: Scored | None
) -> list[StoredImport]:
    """Of each member the import on the same data; a name and seed may have imports on several."""
    references = [known] if known is not None else [first.scored for first in candidates[0]]
    whole = []
    for reference in references:
        fitting = [
            [c for c in several if not c.scored.difference(reference)] for several in candidates
        ]
        if all(fitting):
            whole.append([several[0] for several in fitting])
    if len(whole) > 1:
        raise InputError(
            f"ensemble {one.name}: its members are imported on {len(whole)} sets of data under the same "
            "names, and nothing tells which is meant; import one of them under other names"
        )
    if not whole:
        other = next(
            several[0]
            for several in candidates
            if all(c.scored.difference(references[0]) for c in several)
        )
        raise InputError(
            f"ensemble {one.name}: its member {other.told} is an import of other data: "
            f"{other.scored.difference(references[0])}"
        )
    return whole[0]


def _joint(
    one: Wanted,
    replicate: int,
    members: Sequence[StoredImport],
    task: Task | None,
    request: Request,
    registries: Registries,
) -> Joint:
    outputs = joint_outputs(members)
    if task is None:
        own = {k: v for k, v in request.overrides.items() if not k.startswith("ensembles.")}
        task = free_task(outputs, own)
    trial = joint_trial(one.name, replicate, members, outputs, task)
    plugin = _plugin(one.name, members, registries)
    lacking = next((m.told for m in members if m.outputs.bias is None), "")
    counts = torch.from_numpy(task.train.counts)
    try:
        rows = named_rows(one.strategies, plugin, counts, task.protocol, registries, outputs)
    except InputError as error:
        if lacking and "--bias" in str(error):
            told = str(error).partition(";")[0]
            raise InputError(
                f"ensemble {one.name}: {told}; {lacking} was imported without --bias"
            ) from None
        raise
    refuse_unsound(rows, registries)
    return Joint(trial, tuple(members), outputs, task, tuple(rows), request.results)


def _plugin(
    name: str, members: Sequence[StoredImport], registries: Registries
) -> Plugin[Method[Any]]:
    """Member after member, each with its own bias; ``predict`` is the mean over members."""
    parts = [
        Member(stand_in(m.name, m.outputs, registries, m.title), NoHyper(), m.name) for m in members
    ]
    return ensemble_plugin(name, tuple(parts), f"{name}{MARK}", of_one_method=False)
