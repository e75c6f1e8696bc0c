"""What ``uniform`` means where the classes of a test set differ in size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ltbench.report.records.schema import Distribution


def uniform_notes(
    distributions: Iterable[Distribution], groups: Mapping[str, Sequence[int]]
) -> list[str]:
    """How sets were made uniform, what lacks test images, and sets of older records.

    ``groups``: the classes of the many, medium and few-shot group.
    """
    kinds = {d.definition: d for d in distributions if d.kind in ("uniform", "partial")}
    drawn = sorted({d.name for d in kinds.values() if d.pool}, key=lambda name: name != "uniform")
    notes = []
    if drawn:
        sizes = [n for d in kinds.values() for n in d.pool or () if n]
        notes.append(
            f"classes of the test set have {min(sizes)} to {max(sizes)} images, so {', '.join(drawn)} "
            "are made uniform: strategies adapt on draws with equally many images of each class, and "
            "what is then a fixed predictor is scored on every image, each class weighing the same; "
            "natural is the test set as found"
        )
    uniform = [d for d in kinds.values() if d.kind == "uniform" and d.counts]
    without = {d.counts.count(0) for d in uniform if d.counts} - {0}
    if without:
        missing = max(without)
        notes.append(
            f"{missing} {'class has' if missing == 1 else 'classes have'} no test image; uniform is "
            "over the others"
        )
        if any(d.kind == "partial" for d in kinds.values()):
            counts = [d.counts for d in uniform if d.counts]
            notes += [
                f"no test set {group}-only: its classes have no test images"
                for group, members in groups.items()
                if members and not any(count[c] for count in counts for c in members)
            ]
    if any(len(set(d.counts or ()) - {0}) > 1 for d in uniform):
        notes.append(
            "uniform of some records is an unbalanced test set as found, so its label distribution "
            "is not uniform; evaluate again with this version"
        )
    return notes
