"""From a protocol's study to one plan per part; everything checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ltbench.errors import InputError, nearest
from ltbench.execute.plan import Plan
from ltbench.execute.request import Request, prepare
from ltbench.protocol.overrides import parse_overrides
from ltbench.protocol.protocol import Protocol
from ltbench.protocol.study import StudyPart
from ltbench.settings import show


@dataclass(frozen=True)
class PlannedPart:
    """A part of a study and what is left to do of it."""

    part: StudyPart
    plan: Plan

    @property
    def seconds(self) -> float:
        """Rough wall time, with the plan's trials side by side."""
        total = sum(planned.estimate.seconds for planned in self.plan.trials)
        return total / max(1, self.plan.jobs)

    @property
    def bytes(self) -> int:
        return sum(planned.estimate.bytes for planned in self.plan.trials)


def plan_study(
    base: Request,
    names: Sequence[str] = (),
    report: Callable[[str, int, int], None] | None = None,
) -> list[PlannedPart]:
    """Plans of the parts ``names`` (default all), in the order of the protocol file.

    ``base`` is a request without methods: its seeds and overrides hold for every part. Raises
    :class:`InputError` where the protocol declares no study, a name is unknown, or an override is
    one that a part sets itself.
    """
    protocol = base.load_protocol()
    planned = []
    for part in _chosen(protocol, names):
        plan = prepare(request_for(part, base), report)
        planned.append(PlannedPart(part, replace(plan, notes=[*plan.notes, *_renamed(part, base)])))
    return planned


def _renamed(part: StudyPart, base: Request) -> list[str]:
    """A note where the training set is not the one that the part's name may tell of."""
    changed = [
        f"{key}={show(value)}"
        for key, value in base.overrides.items()
        if key.startswith(("train.", "data."))
    ]
    if not changed:
        return []
    return [
        f"part {part.name!r} has its name from the protocol file; here with {', '.join(changed)}"
    ]


def request_for(part: StudyPart, base: Request) -> Request:
    """What ``ltbench run`` would be asked for."""
    own = parse_overrides(part.set)
    for key in own.keys() & base.overrides.keys():
        raise InputError(
            f"{key} is set by part {part.name!r} of the study itself; `ltbench run` takes any value"
        )
    return replace(
        base,
        methods=",".join(part.methods),
        seeds=base.seeds if base.seeds is not None else part.seeds,
        overrides={**own, **base.overrides},
    )


def _chosen(protocol: Protocol, names: Sequence[str]) -> list[StudyPart]:
    if not protocol.study:
        raise InputError(
            f"protocol {protocol.name} declares no study; [[study]] in {protocol.origin} would list "
            "parts with name and methods, or use `ltbench run --methods ...`"
        )
    known = [part.name for part in protocol.study]
    for name in names:
        if name not in known:
            raise InputError(
                f"the study of {protocol.name} has no part {name!r} (it has: {', '.join(known)})"
                f"{nearest(name, known)}"
            )
    return [part for part in protocol.study if not names or part.name in names]
