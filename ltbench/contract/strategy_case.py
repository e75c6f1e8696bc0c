"""A strategy with one method, before one small test set of which everything is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ltbench.contract.shown import fresh_network
from ltbench.contract.unmet import require
from ltbench.hyper import asking_values
from ltbench.method import Method, overrides
from ltbench.registry import Plugin, Registries
from ltbench.resolve.rows import knows_posterior
from ltbench.strategy import Adapted, OptimizerSettings, Source, Strategy, UnlabelledTest

COUNTS = torch.tensor([30, 12, 5, 2, 1])
PAIRS = 2
IMAGE_SIZE = 8


class OnPixels(nn.Module):
    """A network as a strategy gets it: uint8 images ``(B, 3, H, W)`` to logits ``(B, E, C)``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.float() / 127.5 - 1)
        return logits


class Once(NamedTuple):
    """A strategy that has adapted once, on what, and what came of it."""

    strategy: Strategy[Any]
    test: UnlabelledTest
    adapted: Adapted
    predicted: bool
    """Whether `adapt` called the method's `predict`."""


@dataclass(frozen=True)
class StrategyCase:
    """``n`` images; absent: the true prior says that three of the five classes are missing.

    hyper: the strategy's hyper-parameters that are not the default. order: class ``order[i]`` is
    called i, as :meth:`renumbered` makes it.
    """

    plugin: Plugin[Strategy[Any]]
    method: Method[Any]
    n: int = 40
    absent: bool = False
    hyper: tuple[tuple[str, Any], ...] = ()
    order: tuple[int, ...] = (0, 1, 2, 3, 4)

    @property
    def strategy(self) -> Strategy[Any]:
        cls = self.plugin.cls
        return cls(cls.hyper_type.from_mapping(dict(self.hyper), self.plugin.name))

    def renumbered(self, order: tuple[int, ...]) -> StrategyCase:
        """The same images, class ``order[i]`` being called i."""
        method = type(self.method)(COUNTS[list(order)], self.method.hyper)
        return replace(self, method=method, order=order)

    @cached_property
    def logits(self) -> Tensor:
        """``(N, E, C)``, around a label each."""
        rng = torch.Generator().manual_seed(0)
        experts, classes = self.method.architecture().experts, len(COUNTS)
        return 3 * torch.randn(self.n, experts, classes, generator=rng)[..., list(self.order)]

    @cached_property
    def once(self) -> Once:
        """`adapt` on :meth:`test` with seed 0, for all properties that only look at what came of it."""
        strategy, test, method = self.strategy, self.test(), self.method
        predict, predicted = method.predict, False

        def noted(*args: Any, **keywords: Any) -> Tensor:
            nonlocal predicted
            predicted = True
            return predict(*args, **keywords)

        assert "predict" not in vars(method)
        vars(method)["predict"] = noted
        try:
            adapted = self.adapt(test, strategy=strategy)
        finally:
            del vars(method)["predict"]
        return Once(strategy, test, adapted, predicted)

    @cached_property
    def _views(self) -> Tensor:
        noise = torch.randn(
            PAIRS, 2, *self.logits.shape, generator=torch.Generator().manual_seed(1)
        )
        return self.logits + noise[..., list(self.order)]

    @property
    def prior(self) -> Tensor:
        prior = torch.tensor([0.5, 0, 0.5, 0, 0] if self.absent else [0.2] * 5).double()
        return prior[list(self.order)]

    def test(self, order: Tensor | slice = slice(None)) -> UnlabelledTest:
        """The test set, which hands out what the strategy declared and nothing else."""
        needs = self.strategy.all_needs
        views = self._views[:, :, order]
        pixels = torch.randint(
            256,
            (self.n, 3, IMAGE_SIZE, IMAGE_SIZE),
            generator=torch.Generator().manual_seed(2),
            dtype=torch.uint8,
        )
        return UnlabelledTest(
            self.logits[order].clone(),
            views=(lambda k: views[k]) if "views" in needs else None,
            pairs=PAIRS,
            true_prior=self.prior if "true_prior" in needs else None,
            images=(lambda: pixels[order]) if "network" in needs else None,
        )

    def bare(self) -> UnlabelledTest:
        """The logits and nothing that has to be declared."""
        return UnlabelledTest(self.logits.clone(), pairs=PAIRS)

    def source(self) -> Source:
        needs, bias = self.strategy.all_needs, self.method.bias()
        if (
            overrides(self.method, "posterior") and "bias" in needs
        ):  # these logits are log-posteriors
            bias = torch.zeros(self.logits.shape[1:])
        kind: Literal["closed-form", "reference", "none"] = (
            "none" if bias is None else "closed-form"
        )
        if bias is None and "bias" in needs:
            bias, kind = self.method.reference_bias(), "reference"
        held = 12
        rng = torch.Generator().manual_seed(4)
        logits = 3 * torch.randn(held, *self.logits.shape[1:], generator=rng)[..., list(self.order)]
        labels = torch.argsort(torch.tensor(self.order))[torch.arange(held) % len(COUNTS)]
        network = None
        if "network" in needs:
            bare = fresh_network(len(COUNTS), self.method.architecture(), 4)
            network = OnPixels(bare).eval()
        return Source(
            self.method,
            bias,
            kind,
            OptimizerSettings(0.1, 0.9, True, 5e-4),
            holdout_logits=logits if "holdout" in needs else None,
            holdout_labels=labels if "holdout" in needs else None,
            network=network,
        )

    def adapt(
        self,
        test: UnlabelledTest | None = None,
        seed: int = 0,
        strategy: Strategy[Any] | None = None,
    ) -> Adapted:
        rng = torch.Generator().manual_seed(seed)
        given = self.test() if test is None else test
        adapted = (strategy or self.strategy).adapt(given, self.source(), rng)
        require(
            isinstance(adapted, Adapted),
            f"adapt returned {type(adapted).__name__}; it must return Adapted(logits=...)",
        )
        return adapted

    def __str__(self) -> str:
        absent = ", three classes absent" if self.absent else ""
        shown = "".join(f"{key}={value}, " for key, value in self.hyper)
        return f"{shown}with {self.method.name}, {self.n} images{absent}"


def fits(
    strategy: Plugin[Strategy[Any]], method: Method[Any], hyper: Mapping[str, Any] | None = None
) -> bool:
    """Whether the strategy can run on the method where everything it declares is at hand."""
    cls = strategy.cls
    needs = cls.needs_with(cls.hyper_type.from_mapping(hyper or {}, strategy.name))
    enough = method.architecture().experts >= cls.min_experts
    known = knows_posterior(method) or method.reference_bias() is not None
    return enough and (known or "bias" not in needs)


def build_method(name: str, registries: Registries) -> Method[Any]:
    cls = registries.methods.get(name).cls
    return cls(COUNTS, cls.hyper_type())


def strategy_cases(
    plugin: Plugin[Strategy[Any]],
    registries: Registries,
    methods: tuple[str, ...] | None = None,
    hyper: Mapping[str, Any] | None = None,
) -> list[StrategyCase]:
    """The strategy with every method it fits: many images and one, and, for a strategy that is told the
    true prior, also few classes present.

    Without ``hyper``: as it stands (or as it wants to be tried), and with each value of a setting that
    makes it need more.
    """
    names = sorted(registries.methods.plugins) if methods is None else methods
    asking = [{one.setting: one.value} for one in asking_values(plugin.cls.hyper_type)]
    found = []
    tried = dict(plugin.cls.tried_with)
    changed = [tried, *({**tried, **each} for each in asking)]
    for changes in changed if hyper is None else [hyper]:
        for name in names:
            try:
                method = build_method(name, registries)
                fitting = fits(plugin, method, changes)
            except Exception:  # that method's own check tells
                continue
            if fitting:
                case = StrategyCase(plugin, method, hyper=tuple(changes.items()))
                told = "true_prior" in case.strategy.all_needs
                found += [
                    replace(case, n=n, absent=absent)
                    for n in (40, 1)
                    for absent in ((False, True) if told else (False,))
                ]
    return found


def told_apart(cases: Iterable[StrategyCase]) -> tuple[StrategyCase, ...]:
    """Of the cases whose methods differ for a strategy by their numbers alone, the first.

    A strategy sees of a method: experts, `predict` where it calls it, and, where it needs the bias, whether
    logits are a posterior's, and the bias. What it keeps, and which order it takes images in, is the same
    with balanced softmax and with BCL.
    """
    found: dict[object, StrategyCase] = {}
    for case in cases:
        method, strategy = case.method, case.strategy
        seen: tuple[object, ...] = (method.architecture().experts, type(method).uses_class_order)
        if strategy.uses_predict:
            seen += (type(method).predict,)
        if "bias" in strategy.all_needs:
            bias = method.bias()
            seen += (
                overrides(method, "posterior"),
                None if bias is None else bool(bias.any()),
                method.reference_bias() is None,
            )
        found.setdefault((seen, case.n, case.absent, case.hyper), case)
    return tuple(found.values())


def with_every_method(cases: Iterable[StrategyCase]) -> tuple[StrategyCase, ...]:
    """Of every method the largest test set, and all others of the methods that are told apart."""
    each = tuple(cases)
    most = max((case.n for case in each), default=0)
    apart = {id(case) for case in told_apart(each)}
    return tuple(case for case in each if case.n == most or id(case) in apart)
