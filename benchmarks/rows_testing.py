"""Evaluation of the eleven distributions, and test-time adaptation over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ltbench
from benchmarks.material import Material
from benchmarks.published import BATCH, Published
from benchmarks.row import Row
from benchmarks.timing import Spread, rates, seconds_of
from ltbench.evaluate.evaluate import evaluate_row
from ltbench.evaluate.outputs import TrialOutputs
from ltbench.evaluate.view_images import Chunk, draw_view_parameters, render
from ltbench.execute.job import build_trial
from ltbench.models.build import build_network
from ltbench.names import parse_rows
from ltbench.registry import load_registries
from ltbench.resolve.rows import resolve_row
from ltbench.seeds import generator
from ltbench.strategy import OptimizerSettings, Source, UnlabelledTest
from ltbench.train.infer import Inference
from ltbench.trial.environment import bf16_is_native

SET = "forward5"
"""4,932 images; the eleven sets have 4,803 on average."""
PAIRS_STEPS = 3
VIEWS_SAMPLE = 500


@dataclass
class Tested:
    """A network with three experts in both layouts, and how many images the eleven sets hold."""

    material: Material
    published: Published
    theirs: nn.Module
    inference: Inference
    total: int

    @classmethod
    def build(cls, material: Material, published: Published) -> Tested:
        request = material.method("sade").architecture()

        def network() -> Any:
            made = build_network("resnet32", 100, request, generator("network", 0))
            rng = torch.Generator().manual_seed(0)
            for module in made.modules():  # as after training: statistics that do something
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.1, generator=rng)
                    module.running_var.uniform_(0.5, 2, generator=rng)
            return made.eval()

        mean, std = material.normalisation()
        ours = network().to(memory_format=torch.channels_last)
        total = sum(len(s.indices(material.test_labels, 0)) for s in _shifted(material))
        inference = Inference(ours, mean, std, torch.device("cpu"))
        return cls(material, published, published.network(network()), inference, total)

    def images(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.material.test[chosen], self.material.test_labels[chosen]

    def logits(self, images: np.ndarray, bf16: bool = False) -> Tensor:
        stack = images.transpose(0, 3, 1, 2)
        return self.inference(stack.__getitem__, len(stack), bf16=bf16)


def _shifted(material: Material) -> list[Any]:
    """The eleven sets: forward, uniform, backward."""
    return [s for s in material.task.test_sets if s.kind in ("forward", "uniform", "backward")]


def evaluation(tested: Tested) -> tuple[Row, list[float]]:
    """The row, and the seconds of the published evaluation in each round."""
    material, row = tested.material, Row("evaluation", "Evaluation of the eleven distributions")
    chosen = next(s for s in _shifted(material) if s.name == SET).indices(material.test_labels, 0)
    images, labels = tested.images(chosen)
    equal = torch.full((3,), 1 / 3)
    tops: dict[str, float] = {}

    def theirs() -> int:
        tops["published"] = tested.published.validate(tested.theirs, images, labels, equal)
        return len(images)

    def ours() -> int:
        scores = torch.einsum("e,nec->nc", equal, tested.logits(images))
        hits = scores.argmax(dim=1) == torch.from_numpy(labels)
        tops["ltbench"] = 100.0 * hits.double().mean().item()
        return len(images)

    found = rates({"published": theirs, "ltbench": ours}, material.rounds)
    for name, values in found.items():
        row.measured[f"{name}, network passes"] = ("images/s", Spread.of(values))
    outputs, none = _outputs(material, torch.randn(len(material.test), 3, 100)), "sade+none"
    scoring = min(seconds_of(lambda: _score(outputs, none)) for _ in range(3))
    published = [tested.total / rate for rate in found["published"]]
    mine = [len(material.test) / rate + scoring for rate in found["ltbench"]]
    row.measured["published, eleven sets"] = ("s", Spread.of(published))
    row.measured["ltbench, eleven sets"] = ("s", Spread.of(mine))
    row.measured["ltbench, selecting and scoring all"] = ("s", Spread.of([scoring]))
    row.ratios["eleven sets"] = Spread.of([a / b for a, b in zip(published, mine, strict=True)])
    if tested.published.name.startswith("published"):
        row.checks[f"equal top-1 on {SET}"] = abs(tops["published"] - tops["ltbench"]) < 1e-3
    row.notes.append(
        f"each round: {SET} ({len(images):,} images), extrapolated to {tested.total:,} network passes "
        f"(published) and {len(material.test):,} (ltbench)"
    )
    return row, published


def adaptation(tested: Tested, published_evaluation: list[float]) -> Row:
    material, row = tested.material, Row("adaptation", "SADE adaptation over the eleven, 5 epochs")
    pairs = material.protocol.views.pairs
    sample = material.test[: BATCH * 8]
    procedures = {
        "published, view pairs": lambda: _published_steps(tested),
        "ltbench, view passes": lambda: len(tested.logits(sample)),
    }
    if bf16_is_native(torch.device("cpu")):
        procedures["ltbench, view passes bf16"] = lambda: len(tested.logits(sample, bf16=True))
    else:
        row.skipped["views in bf16"] = "this CPU has no bfloat16 instructions"
    found = rates(procedures, material.rounds)
    units = {"published, view pairs": "pairs/s"}
    for name, values in found.items():
        row.measured[name] = (units.get(name, "images/s"), Spread.of(values))
    theirs = [
        pairs * tested.total / rate + evaluated
        for rate, evaluated in zip(
            found["published, view pairs"], published_evaluation, strict=True
        )
    ]
    row.measured["published, eleven sets"] = ("s", Spread.of(theirs))
    n = len(material.test)
    clean = [n / rate for rate in found["ltbench, view passes"]]
    for label, key, count in (
        ("5 pairs", "ltbench, view passes", pairs),
        ("5 pairs bf16", "ltbench, view passes bf16", pairs),
        ("1 pair (quick mode)", "ltbench, view passes", 1),
    ):
        if key not in found:
            continue
        fitting = _fitting_seconds(material, count)
        mine = [
            2 * count * n / rate + c + fitting for rate, c in zip(found[key], clean, strict=True)
        ]
        row.measured[f"ltbench, eleven sets, {label}"] = ("s", Spread.of(mine))
        row.ratios[label] = Spread.of([a / b for a, b in zip(theirs, mine, strict=True)])
    views = _view_images_per_second(material)
    row.measured["view images, once per machine"] = ("s", Spread.of([2 * pairs * n / views]))
    row.checks["weights equal step for step (1e-5)"] = _same_steps(tested)
    row.notes.append(
        f"each round: {PAIRS_STEPS} steps of {BATCH} pairs (published), {len(sample)} passes "
        f"(ltbench), extrapolated to {pairs} epochs of {tested.total:,} pairs with the evaluation "
        f"after them, and to {2 * pairs * n:,} passes over views, {n:,} over clean images and all "
        "steps of the expert weights. The images of the views depend on no model; their time "
        "stands apart"
    )
    return row


def _published_steps(tested: Tested) -> int:
    images, labels = tested.images(np.arange(BATCH * (PAIRS_STEPS + 2)))
    batches = tested.published.view_batches(images, labels)
    scores, optimizer = _scores()
    for _ in range(PAIRS_STEPS):
        (first, second), _ = next(batches)
        tested.published.adapt_step(tested.theirs, scores, optimizer, first, second)
    return PAIRS_STEPS * BATCH


def _scores() -> tuple[Tensor, torch.optim.Optimizer]:
    scores = torch.full((3,), 1 / 3, requires_grad=True)
    settings = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    return scores, torch.optim.SGD([scores], **settings)


def _fitting_seconds(material: Material, pairs: int) -> float:
    """Steps of the expert weights on all eleven sets and their scores, from logits in memory."""
    rng = torch.Generator().manual_seed(0)
    clean = torch.randn(len(material.test), 3, 100, generator=rng)
    views = [clean + 0.5 * torch.randn(2, len(clean), 3, 100, generator=rng) for _ in range(pairs)]
    outputs = _outputs(material, clean, lambda k: views[k % pairs])
    return seconds_of(lambda: _score(outputs, "sade"))


def _outputs(material: Material, logits: Tensor, views: Any = None) -> TrialOutputs:
    plugin = load_registries().methods.get("sade")
    hyper = plugin.cls.hyper_type()
    trial = build_trial(material.protocol, plugin, hyper, 0, "float32", material.task.splits)
    labels = torch.from_numpy(material.test_labels)
    none = views or (lambda k: logits.expand(2, *logits.shape))
    return TrialOutputs(trial, material.task, logits, logits, labels, none)


def _score(outputs: TrialOutputs, row: str) -> None:
    resolved = resolve_row(parse_rows(row)[0], outputs.task.protocol, load_registries())
    evaluate_row(outputs, resolved, {})


def _view_images_per_second(material: Material) -> float:
    views = material.protocol.views
    parameters = draw_view_parameters(views, VIEWS_SAMPLE, 0)
    stack = np.ascontiguousarray(material.test[:VIEWS_SAMPLE].transpose(0, 3, 1, 2))
    seconds = seconds_of(lambda: render(Chunk(stack, 0, views, parameters)))
    return VIEWS_SAMPLE / seconds


def _same_steps(tested: Tested) -> bool:
    """The published steps through the network against ours on its stored logits, on equal views."""
    images = tested.images(np.arange(BATCH * 3))[0]
    rng = np.random.default_rng(0)
    noise = rng.integers(-20, 21, (2, *images.shape))
    views = np.clip(images + noise, 0, 255).astype(np.uint8)
    mean, std = (t.view(1, 3, 1, 1) for t in tested.material.normalisation())
    pixels = torch.from_numpy(views.transpose(0, 1, 4, 2, 3)).float().div(255)
    reference, optimizer = _scores()
    network = tested.theirs
    for start in range(0, len(images), BATCH):
        first, second = (
            ((side[start : start + BATCH] - mean) / std).contiguous() for side in pixels
        )
        tested.published.adapt_step(network, reference, optimizer, first, second)
    with torch.inference_mode():
        stored = torch.stack(
            [torch.cat([network((x - mean) / std) for x in side.split(BATCH)]) for side in pixels]
        )
    order = torch.arange(len(images))
    weights = _stability_in_order(stored.clone(), order)
    return bool((weights - F.softmax(reference.detach(), dim=0)).abs().max() < 1e-5)


def _stability_in_order(views: Tensor, order: Tensor) -> Tensor:
    """The plugin's own adaptation for one epoch, its shuffle replaced by ``order``."""
    before, torch.randperm = torch.randperm, lambda n, generator=None: order  # type: ignore[assignment]
    try:
        strategy = ltbench.get_strategy("stability", epochs=1)
        settings = OptimizerSettings(0.1, 0.9, True, 5e-4)
        source = Source(ltbench.get_method("sade", [3] * 100), None, "none", settings)
        test = UnlabelledTest(views[0], views=lambda k: views, pairs=1)
        weights = strategy.adapt(test, source, torch.Generator()).expert_weights
    finally:
        torch.randperm = before
    assert weights is not None
    return weights
