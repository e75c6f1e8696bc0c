"""What adapting won or lost: a row beside ``none`` and ``oracle`` of the same trial and draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ltbench.report.records.bits import packed_bits
from ltbench.report.records.schema import Distribution, Draw, Evaluation
from ltbench.report.rows.rows import Row
from ltbench.report.rows.sections import Section, one_trial
from ltbench.report.rows.summary import mean_of
from ltbench.report.statistics.regret import Oracles, common_draws, points_behind, same_draws

STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Comparison:
    """One trial on one test distribution; accuracies in per cent, means over common draws.

    ``plain`` is ``none`` of the same trial, ``gain`` what adapting added to it, ``regret`` what the
    oracle of the same trial has above the adapted accuracy (negative: the row beats it). ``prior_l1``
    and ``prior_kl`` (nats, true || estimated, possibly infinite) are errors of the estimated prior.
    None where the record to compare with, or the estimate, is absent.
    """

    adapted: float
    plain: float | None
    gain: float | None
    regret: float | None
    prior_l1: float | None
    prior_kl: float | None
    collapsed: bool | None


def compare(
    adapted: Distribution, plain: Distribution | None, oracle: Distribution | None
) -> Comparison:
    """Only draws that both sides have count: a row on draw 0 alone meets the others' draw 0."""
    shown, own, before = _shown(adapted, plain)
    return Comparison(
        adapted=own,
        plain=before,
        gain=None if plain is None else points_behind(plain, adapted),
        regret=points_behind(adapted, oracle),
        prior_l1=mean_of([draw.prior_l1 for draw in shown]),
        prior_kl=mean_of([draw.prior_kl for draw in shown]),
        collapsed=collapsed(adapted, plain),
    )


def common_top1(adapted: Distribution, plain: Distribution | None) -> tuple[float, float | None]:
    """Mean top-1 of both over the draws that both have; of ``adapted`` alone over its own where there
    are none."""
    return _shown(adapted, plain)[1:]


def _shown(
    adapted: Distribution, plain: Distribution | None
) -> tuple[Sequence[Draw], float, float | None]:
    if plain is not None and same_draws(adapted, plain):
        return adapted.draws, adapted.top1, plain.top1
    pairs = common_draws(adapted, plain)
    shown = [draw for draw, _ in pairs] or adapted.draws
    own = math.fsum(draw.top1 for draw in shown) / len(shown)
    return shown, own, mean_of(draw.top1 for _, draw in pairs)


def collapsed(adapted: Distribution, plain: Distribution | None) -> bool | None:
    """Whether adapting lost more than two standard errors against ``none`` of the same trial.

    Paired on the images of draw 0: with b images that only ``none`` has right and c that only the
    adapted row has, the loss is (b - c) / n and its standard error, were both equally good,
    sqrt(b + c) / n (McNemar). Collapsed: b - c > 2 sqrt(b + c). It says that the loss on this draw
    is more than the noise of its finitely many images; other draws share most of those images and
    add no independent evidence. None where a record does not hold the bits of the same draw 0.
    """
    if plain is None or adapted.definition != plain.definition:
        return None
    before, after = packed_bits(plain), packed_bits(adapted)
    if before is None or after is None or before.n != after.n:
        return None
    lost = (before.bits & ~after.bits).bit_count()
    won = (after.bits & ~before.bits).bit_count()
    return lost - won > STANDARD_ERRORS * math.sqrt(lost + won)


def comparisons(
    row: Row, section: Section, known: Oracles, distribution: str
) -> dict[int, Comparison]:
    """Of every seed of ``row`` that has the distribution; ``known``: the oracles of all trials."""
    found = {}
    for seed, adapted in sorted(row.results.get(distribution, {}).items()):
        own = row.latest[seed]
        oracle = known.get(own.trial.trial, {}).get(distribution)
        found[seed] = compare(adapted, unadapted(own, section, distribution), oracle)
    return found


def unadapted(own: Evaluation, section: Section, distribution: str) -> Distribution | None:
    """``none`` of the same trial and method."""
    row = section.unadapted.get(one_trial(own))
    return None if row is None else row.results.get(distribution, {}).get(own.seed)
