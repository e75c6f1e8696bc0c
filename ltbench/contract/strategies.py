"""What every test-time strategy must keep, with every method that it fits."""

from __future__ import annotations

import json
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ltbench.contract.memory import difference, global_randomness, memory
from ltbench.contract.method_case import differ
from ltbench.contract.strategy_case import COUNTS, StrategyCase
from ltbench.contract.unmet import Property, Unmet, require
from ltbench.errors import ContractError
from ltbench.strategy import Predicts, Session

_HANDED_OUT = frozenset({"views", "true_prior", "network"})


def scores_are_usable(case: StrategyCase) -> None:
    """`adapt` gives one score per image and class, none NaN, and a finite largest one."""
    test, adapted = case.once.test, case.once.adapted
    scores, expected = adapted.logits, (case.n, len(COUNTS))
    require(isinstance(scores, Tensor), f"Adapted.logits is {type(scores).__name__}, no tensor")
    require(
        tuple(scores.shape) == expected,
        f"Adapted.logits has shape {tuple(scores.shape)}; expected (N, C) = {expected}, for "
        "exactly the images adapted on",
    )
    require(scores.is_floating_point(), f"Adapted.logits is {scores.dtype}, not a float type")
    require(
        not torch.isnan(scores).any() and torch.isfinite(scores.amax(1)).all(),
        "Adapted.logits has NaN, or no finite score for an image",
    )
    require(torch.equal(test.logits, case.logits), "adapt writes into test.logits")


def what_it_tells_is_well_formed(case: StrategyCase) -> None:
    """Expert weights and prior sum to 1, and diagnostics are JSON."""
    adapted = case.once.adapted
    experts = case.logits.shape[1]
    for name, values, size in (
        ("expert_weights", adapted.expert_weights, experts),
        ("prior", adapted.prior, len(COUNTS)),
    ):
        if values is None:
            continue
        require(
            tuple(values.shape) == (size,),
            f"Adapted.{name} has shape {tuple(values.shape)}, not {(size,)}",
        )
        total = values.sum().item()
        require(abs(total - 1) < 1e-5, f"Adapted.{name} sums to {total:g}, not to 1")
    try:
        json.dumps(dict(adapted.diagnostics), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Unmet(
            f"Adapted.diagnostics is not JSON: {error}; use .item() and .tolist()"
        ) from None


def same_seed_same_answer(case: StrategyCase) -> None:
    """The same seed gives the same scores, and no other source of randomness is used."""
    first = case.once.adapted.logits
    state = global_randomness()
    require(
        torch.equal(first, case.adapt().logits),
        "the same generator gives other scores the second time",
    )
    require(
        global_randomness() == state,
        "it draws from a global generator (torch, numpy or random); use the rng that adapt is given",
    )


def keeps_nothing_of_the_last_test_set(case: StrategyCase) -> None:
    """What it finds depends on the test set alone, not on those before, which may be known already."""
    if case.n < 2:
        return
    used = case.strategy
    first = case.once.adapted.logits.detach()
    held = memory(case.once.strategy, case.method)
    for part in (slice(0, 7), slice(5, case.n)):
        case.adapt(case.test(part), strategy=used)
    again = case.adapt(strategy=used).logits.detach()
    place = difference(held, memory(used, case.method))
    told = f"{place} differs" if place else "the scores differ"
    require(
        place is None and torch.equal(first, again),
        f"{told} after other test sets, and those that are known are left out of a later run; keep "
        "what adapt learns in local variables, or in a Session",
    )


def class_names_do_not_matter(case: StrategyCase) -> None:
    """Renumbering the classes renumbers the scores and changes nothing else.

    Not tried on a network, whose classes have no names. A strategy for which numbers have a meaning
    declares ``uses_class_order``.
    """
    cls = case.plugin.cls
    if (
        cls.uses_class_order
        or type(case.method).uses_class_order
        or "network" in case.strategy.all_needs
    ):
        return
    if case.n < 2:  # an estimate from one image hangs on rounding
        return
    order = (3, 0, 4, 1, 2)
    straight = _probabilities(case)
    renamed = _probabilities(case.renumbered(order))
    apart = (renamed - straight[:, list(order)]).abs().max().item()
    if apart <= 1e-3:
        return
    # Draws belong to numbers of classes: what another seed would change is no dependence on them.
    by_chance = max((_probabilities(case, k) - straight).abs().max().item() for k in (1, 2, 3))
    require(
        apart <= 1e-3 + 3 * by_chance,
        "the scores depend on the number of a class; set uses_class_order = True where numbers of "
        "classes have a meaning",
    )


def _probabilities(case: StrategyCase, seed: int = 0) -> Tensor:
    """Of the scores: the logarithm of a prior of 0 and of one of 1e-15 say the same."""
    adapted = case.adapt(seed=seed) if seed else case.once.adapted
    return F.softmax(adapted.logits.detach().double(), dim=1)


def frozen_repeats_the_scores(case: StrategyCase) -> None:
    """The frozen predictor, where there is one, gives the same scores, image by image."""
    adapted = case.once.adapted
    if adapted.frozen is None:
        return
    require(
        not differ(adapted.frozen(case.logits), adapted.logits),
        "Adapted.frozen gives other scores than Adapted.logits on the images adapted on",
    )
    part = slice(0, 1) if case.n == 1 else slice(3, 5)
    require(
        not differ(adapted.frozen(case.logits[part]), adapted.logits[part]),
        "Adapted.frozen lets an image's scores depend on the other images",
    )


def image_order_does_not_matter(case: StrategyCase) -> None:
    """The order in which the images arrive does not change their scores."""
    order = torch.randperm(case.n, generator=torch.Generator().manual_seed(1))
    straight, mixed = case.once.adapted.logits, case.adapt(case.test(order)).logits
    require(
        not differ(mixed, straight[order]),
        "the scores depend on the order of arrival; stochastic steps over batches do that",
    )


def asks_only_for_what_it_declares(case: StrategyCase) -> None:
    """It asks for views, true prior and images only where `needs` declares them."""
    assert case.once  # the test set refuses anything else


def uses_what_it_declares(case: StrategyCase) -> None:
    """It does not declare in `needs` what it does without."""
    declared = case.strategy.all_needs & _HANDED_OUT
    if not declared:
        return
    try:
        case.adapt(case.bare())
    except ContractError:
        return
    raise Unmet(f"needs declares {', '.join(sorted(declared))} and adapt does without it")


def predict_is_called_only_if_declared(case: StrategyCase) -> None:
    """With `uses_predict = False` it never calls the method's `predict`."""
    require(
        case.strategy.uses_predict or not case.once.predicted,
        "adapt calls source.method.predict; set uses_predict = True",
    )


def session_is_one_or_none(case: StrategyCase) -> None:
    """`session` gives a Session that declares when it predicts, or None."""
    session = case.strategy.session(case.source(), torch.Generator().manual_seed(0))
    require(
        session is None or isinstance(session, Session),
        f"session returned {type(session).__name__}; it must be a Session or None",
    )
    told = getattr(session, "predicts", None)
    require(
        session is None or told in get_args(Predicts),
        f"predicts of the session is {told!r}; expected one of {get_args(Predicts)}",
    )


def session_predicts_batches_of_any_size(case: StrategyCase) -> None:
    """A session scores every image of every batch, whatever its size, and writes into none."""
    session = open_session(case)
    if session is None:
        return
    for part in (slice(0, case.n // 2), slice(case.n // 2, case.n - 1), slice(case.n - 1, case.n)):
        size = part.stop - part.start
        if not size:
            continue
        test = case.test(part)
        scores, expected = session.step(test), (size, len(COUNTS))
        require(
            tuple(scores.shape) == expected,
            f"step returned scores {tuple(scores.shape)}; expected (B, C) = {expected}",
        )
        require(
            not torch.isnan(scores).any() and torch.isfinite(scores.amax(1)).all(),
            "step returned NaN, or no finite score for an image",
        )
        require(torch.equal(test.logits, case.logits[part]), "step writes into batch.logits")


def session_keeps_nothing_of_the_last_stream(case: StrategyCase) -> None:
    """Two sessions with the same generator give the same scores."""
    runs = []
    for _ in range(2):
        session = open_session(case)
        if session is None or case.n < 2:
            return
        halves = (slice(0, case.n // 2), slice(case.n // 2, case.n))
        runs.append(torch.cat([session.step(case.test(part)).detach() for part in halves]))
    require(torch.equal(*runs), "a second session differs: the first left something behind")


def session_predicts_when_it_says(case: StrategyCase) -> None:
    """`before`: no other image of the batch has a say. `fixed`: no other image at all."""
    session, alone = open_session(case), open_session(case)
    if session is None or alone is None or session.predicts == "after" or case.n < 4:
        return
    half = case.n // 2
    together = session.step(case.test(slice(0, half))).detach()
    require(
        not differ(together[:1], alone.step(case.test(slice(0, 1))).detach()),
        f"the session declares predicts = {session.predicts!r}, and other images of the batch "
        "change the scores of the first",
    )
    fresh = open_session(case)
    if session.predicts == "fixed" and fresh is not None:
        rest = case.test(slice(half, case.n))
        require(
            not differ(session.step(rest).detach(), fresh.step(rest).detach()),
            "the session declares predicts = 'fixed', and earlier batches change later scores",
        )


def open_session(case: StrategyCase) -> Session | None:
    return case.strategy.session(case.source(), torch.Generator().manual_seed(3))


STRATEGY_PROPERTIES: tuple[Property[StrategyCase], ...] = (
    Property(scores_are_usable),
    Property(what_it_tells_is_well_formed),
    Property(same_seed_same_answer),
    Property(keeps_nothing_of_the_last_test_set),
    Property(frozen_repeats_the_scores),
    Property(image_order_does_not_matter, advice=True),
    Property(class_names_do_not_matter),
    Property(asks_only_for_what_it_declares),
    Property(uses_what_it_declares, advice=True),
    Property(predict_is_called_only_if_declared),
    Property(session_is_one_or_none),
    Property(session_predicts_batches_of_any_size),
    Property(session_keeps_nothing_of_the_last_stream),
    Property(session_predicts_when_it_says),
)
