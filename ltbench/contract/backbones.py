"""What every backbone must keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ltbench.backbone import Backbone, ChosenBackbone
from ltbench.contract.unmet import Property, Unmet, require
from ltbench.errors import ContractError, InputError
from ltbench.method import Architecture
from ltbench.models.build import build_network, count_parameters
from ltbench.models.fold import folded
from ltbench.models.network import ExpertNetwork
from ltbench.names import check_name
from ltbench.registry import Plugin

CLASSES, BATCH, IMAGE_SIZE = 5, 4, 32
PLAIN = Architecture()
EXPERTS = Architecture(2, "cosine", reduced=True)
FURTHER = (
    replace(EXPERTS, share="nothing"),
    replace(EXPERTS, share="features"),
    replace(EXPERTS, shared_head=True),
)
"""What few methods ask for; a backbone may refuse it with an InputError, one line."""
_ROUNDING = 1e-3
"""Of float32 logits, relative to their largest."""


@dataclass(frozen=True)
class BackboneCase:
    plugin: Plugin[Backbone]

    def networks(self) -> Iterator[tuple[str, Architecture, ExpertNetwork]]:
        """A network for each place where experts may part and each request, with words for both."""
        for shared in self.plugin.cls.shared_stages or (None,):
            chosen = ChosenBackbone.of(self.plugin.cls, shared)
            for request in (PLAIN, EXPERTS, *FURTHER):
                words = f"with {_words(request)}" + (f", shared = {shared}" if shared else "")
                try:
                    yield words, request, self.network(request, chosen)
                except ContractError as error:
                    raise Unmet(f"{error} ({words})") from None
                except InputError as error:
                    line = "\n" not in str(error)
                    require(request in FURTHER and line, f"build refuses {words}: {error}")

    def network(
        self, request: Architecture, chosen: ChosenBackbone | None = None, seed: int = 0
    ) -> ExpertNetwork:
        wanted = chosen or ChosenBackbone.of(self.plugin.cls)
        return build_network(wanted, CLASSES, request, torch.Generator().manual_seed(seed))


def _words(request: Architecture) -> str:
    further = f", share = {request.share}" if request.share != "stage1" else ""
    return (
        f"{request.experts} {request.head} heads{further}" + ", shared head" * request.shared_head
    )


def _images() -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE, generator=rng)


def name_and_title(case: BackboneCase) -> None:
    """Name and title are given, and what it leaves to choose is a tuple of stages."""
    cls = case.plugin.cls
    check_name(cls.name, "backbone name")
    require(cls.title.strip(), "title is empty")
    require(cls.fan in ("fan_in", "fan_out"), f"fan = {cls.fan!r} must be 'fan_in' or 'fan_out'")
    stages = cls.shared_stages
    whole = isinstance(stages, tuple) and all(type(s) is int and s > 0 for s in stages)
    require(
        whole and len(set(stages)) == len(stages),
        f"shared_stages = {stages!r} must be a tuple of different whole numbers from 1",
    )


def docstring(case: BackboneCase) -> None:
    """A docstring says which network it is."""
    require((case.plugin.cls.__doc__ or "").strip(), "no docstring")


def logits_and_features_have_their_shapes(case: BackboneCase) -> None:
    """Whatever a method asks for: logits (B, E, C), features (B, E, D), finite, and E heads or one."""
    for words, request, network in case.networks():
        with torch.no_grad():
            logits, features = network.eval().with_features(_images())
        expected = (BATCH, request.experts, CLASSES)
        require(
            tuple(logits.shape) == expected and bool(logits.isfinite().all()),
            f"logits have the shape {tuple(logits.shape)} {words}; expected {expected}, finite",
        )
        expected = (BATCH, request.experts, network.feature_width)
        require(
            tuple(features.shape) == expected and features.dtype == torch.float32,
            f"features have the shape {tuple(features.shape)} {words}; expected float32 {expected}",
        )
        heads = 1 if request.shared_head else request.experts
        found = len(list(network.heads()))
        require(found == heads, f"{found} heads {words}; expected {heads}")


def every_weight_learns(case: BackboneCase) -> None:
    """Every weight has a gradient of the logits."""
    for words, _, network in case.networks():
        network.train()(_images()).square().sum().backward()
        idle = [
            name for name, p in network.named_parameters() if p.requires_grad and p.grad is None
        ]
        require(
            not idle,
            f"no gradient reaches {', '.join(idle[:3])} {words}; leave out what is not used",
        )


def weights_follow_from_the_seed(case: BackboneCase) -> None:
    """Two networks of one seed are equal, whatever was drawn before; two seeds give two networks."""
    first = case.network(EXPERTS).state_dict()
    torch.rand(3)
    again = case.network(EXPERTS).state_dict()
    for name, value in first.items():
        require(
            torch.equal(value, again[name]),
            f"{name} differs between two networks of one seed; draw from torch's global generator only",
        )
    other = case.network(EXPERTS, seed=1).state_dict()
    same = all(torch.equal(value, other[name]) for name, value in first.items())
    require(not same, "two seeds give the same weights")


def an_image_is_judged_alone(case: BackboneCase) -> None:
    """In evaluation mode the logits of an image do not depend on the others of its batch."""
    network = case.network(EXPERTS).eval()
    with torch.no_grad():
        whole, alone = network(_images()), network(_images()[:1])
    _require_close(
        alone, whole[:1], "the logits of an image change with its batch in evaluation mode"
    )


def folding_changes_nothing(case: BackboneCase) -> None:
    """With BatchNorm folded into convolutions, as inference does, the logits are the same."""
    network = case.network(EXPERTS)
    rng = torch.Generator().manual_seed(2)
    for norm in [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]:
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.normal_(0, 0.3, generator=rng)
            norm.running_var.uniform_(0.5, 2, generator=rng)
    network.eval()
    with torch.no_grad():
        _require_close(
            folded(network)(_images()),
            network(_images()),
            "folding BatchNorm changes the logits; an nn.Sequential must run its modules in order",
        )


def reduced_experts_are_smaller(case: BackboneCase) -> None:
    """A network of reduced experts has fewer weights than one of full ones."""
    small = count_parameters(case.network(EXPERTS))
    full = count_parameters(case.network(replace(EXPERTS, reduced=False)))
    require(small < full, f"{small} weights where experts are reduced, {full} where they are not")


def _require_close(found: Tensor, expected: Tensor, otherwise: str) -> None:
    difference = (found - expected).abs().max().item()
    require(
        difference <= _ROUNDING * expected.abs().max().item(), f"{otherwise} (by {difference:.2g})"
    )


BACKBONE_PROPERTIES: tuple[Property[BackboneCase], ...] = (
    Property(name_and_title),
    Property(docstring, advice=True),
    Property(logits_and_features_have_their_shapes),
    Property(every_weight_learns),
    Property(weights_follow_from_the_seed),
    Property(an_image_is_judged_alone),
    Property(folding_changes_nothing),
    Property(reduced_experts_are_smaller, advice=True),
)
