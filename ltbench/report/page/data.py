"""What the page's scripts compute with: recalls and accuracies over the shift, and the trials."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from ltbench.report.figures.style import Look
from ltbench.report.records.schema import Evaluation
from ltbench.report.rows.position import position
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section
from ltbench.report.rows.summary import mean_of
from ltbench.report.statistics.binned import SHOWN_CLASSES, bin_means, rank_bins
from ltbench.report.statistics.ideal_prior import stored_top1
from ltbench.report.tables.uniform import recalls_of

Json = dict[str, object]

FIXED = "none"  # the strategy whose prediction for an image depends on nothing but that image


def shift_data(section: Section, looks: Mapping[str, Look]) -> Json | None:
    """For the shift control; ``None`` where a section has no spectrum.

    At the stored test sets the page shows ``top1``, the means of the records that the tables have.
    Between them a fixed predictor is known by its recalls on the uniform set: under the ideal prior
    pi its accuracy is ``sum_c pi_c recall_c``. For a row that adapts only the stored accuracies
    are known, put on the same footing as ``between`` (:func:`stored_top1`); the page interpolates
    them, linearly in the log of the ratio, and says so.
    Of thousands of classes the page knows recalls of bins by rank, in the place of classes.
    """
    tests = section.shifts
    if len(tests) < 2 or section.uniform is None:
        return None
    rows = [row for row in section.rows if row.seeds]
    places = _places(section, rows)
    bins = _bins(places)
    return {
        "place": places if bins is None else list(range(len(bins))),
        "tests": [{"name": t.name, "short": t.short, "x": round(position(t), 6)} for t in tests],
        "rows": [_row(row, section, places, bins) | _look(looks[row.label]) for row in rows],
    }


def _places(section: Section, rows: Sequence[Row]) -> list[int | None]:
    """Place of each class on the spectrum, 0 the most frequent; none for classes without images."""
    uniform = section.uniform or ""
    present = {
        c
        for row in rows
        for recalls in recalls_of(row, uniform).values()
        for c, value in enumerate(recalls.per_class)
        if value is not None
    }
    order = sorted(present, key=lambda c: section.rank[c])
    places = {c: place for place, c in enumerate(order)}
    return [places.get(c) for c in range(len(section.rank))]


def _bins(places: Sequence[int | None]) -> list[list[int]] | None:
    """Of thousands of classes: those that have images, in bins by their places; else None."""
    known = sorted((place, c) for c, place in enumerate(places) if place is not None)
    return None if len(known) <= SHOWN_CLASSES else rank_bins([c for _, c in known])


def _row(
    row: Row,
    section: Section,
    places: Sequence[int | None],
    bins: Sequence[Sequence[int]] | None,
) -> Json:
    found = recalls_of(row, section.uniform or "").values()
    fixed = row.strategy == FIXED and bool(found) and not row.uses_true_prior
    known = [] if fixed else [stored_top1(row, section, test, places) for test in section.shifts]
    recalls = [mean_of(r.per_class[c] for r in found) for c in range(len(section.rank))]
    if bins is not None:
        recalls = bin_means(recalls, bins)
    return {
        "label": row.label,
        "true_prior": row.uses_true_prior,
        "seeds": len(row.seeds),
        "recalls": [_short(value) for value in recalls] if fixed else None,
        "top1": [_short(mean_of(row.top1(test.name).values())) for test in section.shifts],
        "between": [_short(value) for value in known],
    }


def _look(look: Look) -> Json:
    """As the figure over the shift draws the row; dashes in widths of the line."""
    dashes = [] if isinstance(look.line, str) else list(look.line[1])
    return {"colour": look.colour, "marker": look.marker, "dashes": dashes}


def trials_data(section: Section) -> list[Json]:
    """Per row its trials and failures, every one with what its record tells."""
    return [
        {
            "label": row.label,
            "trials": [_trial(e, section) for e in row.evaluations],
            "failures": [
                {"seed": f.seed, "status": f.status, "error": f.error} for f in row.failures
            ],
        }
        for row in section.rows
    ]


def _trial(e: Evaluation, section: Section) -> Json:
    cost = e.trial.cost
    facts: Json = {
        "seed": e.seed,
        "trial": e.trial.trial,
        "evaluation": e.evaluation,
        "training": f"{e.trial.training.name} {e.trial.training.hyper}",
        "strategy": f"{e.strategy} {e.strategy_params}".strip(),
        "created": e.trial.created,
        "device": e.trial.device,
        "torch": e.trial.torch,
        "ltbench": e.trial.ltbench,
        "precision": e.precision,
        "parameters": e.parameters,
        "MACs": e.macs,
        "epochs": cost.epochs,
        "training seconds": _short(cost.training_seconds),
        "images/s": _short(cost.images_per_second),
    }
    scores = {
        test.short: _short(d.top1)
        for test in section.shifts
        for d in e.distributions
        if d.name == test.name
    }
    return {"facts": {k: v for k, v in facts.items() if v not in (None, "")}, "top1": scores}


def _short(value: float | None) -> float | None:
    """Four decimals: far below what is shown, and a third of the size."""
    return None if value is None or not math.isfinite(value) else round(value, 4)


def script_json(value: object) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
