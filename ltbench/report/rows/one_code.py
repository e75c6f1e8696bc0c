"""Which code a section shows: of each method and strategy one, the one that was asked for last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ltbench.report.records.schema import Evaluation, Failure, Training
from ltbench.report.records.streams import StreamRecord
from ltbench.trial.asked_code import Asked, Code

Record = Evaluation | Failure | StreamRecord


@dataclass(frozen=True)
class OneCode:
    """shown[kind, name]: the digest; notes: what is left out for it, or why it is not the current."""

    shown: Mapping[tuple[str, str], str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def keeps(self, record: Record) -> bool:
        return all(
            self.shown.get((code.kind, code.name), code.digest) == code.digest
            for code in codes_of(record)
        )


def codes_of(record: Record) -> Iterator[Code]:
    """Whose code a record stands on; nothing where it does not tell, or nobody can know it."""
    training = record.training if isinstance(record, Failure) else record.trial.training
    is_imported = training.origin == "imported"
    if training.digest is not None and not is_imported:
        yield Code("method", training.name, training.digest)
    if not isinstance(record, Failure):
        yield from record.trial.member_codes
        if not is_imported:
            yield Code("method", record.method, record.method_digest)
        yield Code("strategy", record.strategy, record.strategy_digest)


def choose_code(records: Iterable[Record], asked: Asked) -> OneCode:
    """Of each method and strategy the code asked for last of which there is a record.

    Where nothing was noted, the code with the latest record. Results of two digests are never
    averaged; what is left out is named.
    """
    found = list(records)
    made: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for record in found:
        created = "" if isinstance(record, Failure) else record.created
        for kind, name, digest in codes_of(record):
            known = made[kind, name]
            known[digest] = max(known.get(digest, ""), created)
    shown = {
        (kind, name): max(digests, key=lambda d: (asked.place(Code(kind, name, d)), digests[d], d))
        for (kind, name), digests in made.items()
    }
    notes = []
    for kind, name in sorted(made):
        digest = shown[kind, name]
        others = sorted(made[kind, name].keys() - {digest})
        if others:
            told = "; ".join(_left_out(Code(kind, name, other), found) for other in others)
            notes.append(
                f"{kind} {name}: only its current code {Code(kind, name, digest).short} is shown, not {told}"
            )
        order = asked.digests.get((kind, name), ())
        if order and order[-1] != digest:
            notes.append(
                f"{kind} {name}: shown is code {Code(kind, name, digest).short}; the code asked for last, "
                f"{Code(kind, name, order[-1]).short}, has no result here"
            )
    return OneCode(shown, tuple(notes))


def section_code(
    evaluations: Sequence[Evaluation],
    failures: Sequence[Failure],
    streams: Sequence[StreamRecord],
    asked: Asked,
) -> OneCode:
    """:func:`choose_code`, such that something is shown: code that only failed hides no result."""
    code = choose_code([*evaluations, *failures, *streams], asked)
    if not any(map(code.keeps, evaluations)):
        code = choose_code([*evaluations, *streams], asked)
    if not any(map(code.keeps, evaluations)):  # old strategies on new methods, and the reverse
        latest = max(evaluations, key=lambda e: (e.created, e.evaluation))
        own = {(kind, name): digest for kind, name, digest in codes_of(latest)}
        code = OneCode({**code.shown, **own}, code.notes)
    return code


def _left_out(code: Code, records: Iterable[Record]) -> str:
    """``"code 3fa2b1c4 (12 records of seeds 0, 1; p/mine.py)"``."""
    own = [record for record in records if code in codes_of(record)]
    seeds = ", ".join(str(seed) for seed in sorted({record.seed for record in own}))
    origins = sorted({origin for record in own if (origin := _origin(code, record))})
    count = f"{len(own)} record{'s' if len(own) > 1 else ''} of seed{'s' if ',' in seeds else ''}"
    where = "".join(f"; {origin}" for origin in origins if code.digest)
    return f"code {code.short} ({count} {seeds}{where})"


def _origin(code: Code, record: Record) -> str:
    if not isinstance(record, Failure):
        if code.kind == "strategy":
            return record.strategy_origin
        if code == Code("method", record.method, record.method_digest) and record.method_origin:
            return record.method_origin
    training: Training = record.training if isinstance(record, Failure) else record.trial.training
    return training.origin
