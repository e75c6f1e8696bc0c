"""Trials whose logits carry another prior than is stated: told under tables where it is far off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ltbench.report.records.carried import CarriedPrior, Ratios
from ltbench.report.records.schema import GROUPS, Trial
from ltbench.report.rows.rows import Row
from ltbench.report.rows.summary import mean_of

FAR = 1.5
"""Factor from 1, either way, from which on the ratio of a class group is told.

Networks that were trained to the end lie within it: on CIFAR-100-LT the few-shot classes have 1.06 with
cross-entropy, 1.41 with balanced softmax and 0.68 with the mean of SADE's experts. Cosine heads without
class bias, at 1.67, lie beyond: there an estimate of the label distribution (em) cost ten points on
uniform that the same head with a bias, at 1.37, does not lose. A small hold-out can leave that range by
chance: what lies within :data:`ERRORS` standard errors of 1 is not told."""
ERRORS = 2.0


def carried_notes(rows: Sequence[Row]) -> list[str]:
    """One line for each training whose mean ratio over its seeds is far from 1 in some class group."""
    notes = []
    for label, trials in _trainings(rows).items():
        found = carried_by(trials)
        if not found:
            continue
        if _is_far(list(found.values())):
            notes.append(
                f"{label}: its logits do not carry the training prior as they are said to: "
                f"{describe_carried(found)}; so what reasons about priors (oracle, em, tilt and the "
                "like) starts from a wrong one"
            )
    return notes


def _is_far(several: Sequence[CarriedPrior]) -> bool:
    """In some group. Seeds may share their images, so that their mean is no surer than one of them."""
    means, errors = _mean(one.mean for one in several), _mean(one.error for one in several)
    return any(
        ratio is not None
        and error is not None
        and not 1 / FAR <= ratio <= FAR
        and abs(ratio - 1) > ERRORS * error
        for ratio, error in zip(means, errors, strict=True)
    )


def carried_by(trials: Iterable[Trial]) -> dict[int, CarriedPrior]:
    """By seed, of the trials that tell."""
    return {t.seed: t.carried for t in trials if t.carried is not None}


def describe_carried(found: Mapping[int, CarriedPrior]) -> str:
    """``"mean posterior / prior 1.00 ± 0.01 many, ... (2,000 training images, seed 0)"``."""
    several = list(found.values())
    means, errors = _mean(one.mean for one in several), _mean(one.error for one in several)
    told = (
        f"{_plain(ratio)}{'' if ratio is None else f' ± {_plain(error)}'} {group}"
        for group, ratio, error in zip(GROUPS, means, errors, strict=True)
    )
    text = f"mean posterior / prior {', '.join(told)}"
    sizes = {len(one.experts) for one in several}
    if sizes != {1} and len(sizes) == 1:
        each = zip(*(one.experts for one in several), strict=True)
        text += f"; few-shot by expert {', '.join(_plain(_mean(e)[-1]) for e in each)}"
    images = sorted({f"{one.images:,} {_KINDS[one.source]} images" for one in several})
    seeds = f"mean over {len(found)} seeds" if len(found) > 1 else f"seed {min(found)}"
    return f"{text} (± standard error; {', '.join(images)}, {seeds})"


_KINDS = {"holdout": "held-out", "training": "training"}


def _trainings(rows: Sequence[Row]) -> dict[str, list[Trial]]:
    """The trials of each training, by the shortest label of the rows that stand on it."""
    labels: dict[frozenset[str], list[str]] = {}
    trials: dict[frozenset[str], list[Trial]] = {}
    for row in rows:
        own = {e.trial.trial: e.trial for e in row.latest.values()}
        key = frozenset(own)
        labels.setdefault(key, []).append(row.label)
        trials[key] = list(own.values())
    return {
        min(labels[key], key=lambda label: (len(label), label)): own for key, own in trials.items()
    }


def _mean(several: Iterable[Ratios]) -> Ratios:
    return tuple(mean_of(values) for values in zip(*several, strict=True))


def _plain(ratio: float | None) -> str:
    return "?" if ratio is None else f"{ratio:.2f}"
