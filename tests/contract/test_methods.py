"""What every registered method must keep; a new one is swept without being listed here."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ltbench.errors import InputError
from ltbench.hyper import Hyper
from ltbench.method import Architecture, Method, Reference
from ltbench.names import check_name
from ltbench.protocol import Recipe
from ltbench.registry import Plugin, load_registries

REGISTRY = load_registries().methods
METHODS = [pytest.param(plugin, id=name) for name, plugin in sorted(REGISTRY.plugins.items())]
COUNTS = {
    "two": [9, 1],
    "ten": [100, 64, 41, 27, 17, 11, 7, 4, 3, 1],
    "ties": [5, 1, 5, 1, 1, 8],
    "equal": [4, 4, 4],
}
PROGRESS = (0.0, 0.5, 0.99)


@dataclass(frozen=True)
class Case:
    """A method with one setting of its hyper-parameters, on one list of counts."""

    plugin: Plugin[Method[Any]]
    hyper: dict[str, Any]
    counts: list[int]

    def build(self, counts: list[int] | None = None) -> Method[Any]:
        values = torch.tensor(counts or self.counts)
        hyper = self.plugin.cls.hyper_type.from_mapping(self.hyper, self.plugin.name)
        return self.plugin.cls(values, hyper)

    def example(self, batch: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Logits ``(B, E, C)`` and targets that hold every class where the batch allows."""
        rng = torch.Generator().manual_seed(seed)
        experts, classes = self.build().architecture().experts, len(self.counts)
        logits = 5 * torch.randn(batch, experts, classes, generator=rng)
        return logits, torch.arange(batch) % classes


def variants(plugin: Plugin[Method[Any]]) -> list[dict[str, Any]]:
    """The defaults, and each other choice or switch on its own."""
    found: list[dict[str, Any]] = [{}]
    for field in dataclasses.fields(plugin.cls.hyper_type):
        for choice in field.metadata.get("choices", ()):
            if choice != field.default:
                found.append({field.name: choice})
        if isinstance(field.default, bool):
            found.append({field.name: not field.default})
    return found


def cases(*keys: str) -> list[Any]:
    """Every method with every variant on the named counts."""
    return [
        pytest.param(Case(plugin, hyper, COUNTS[key]), id=f"{name}-{hyper or 'default'}-{key}")
        for name, plugin in sorted(REGISTRY.plugins.items())
        for hyper in variants(plugin)
        for key in keys
    ]


CASES = cases(*COUNTS)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def loss(method: Method[Any], logits: Tensor, targets: Tensor, progress: float = 0.0) -> Tensor:
    return method.loss(logits, targets, progress=progress, rng=rng())


def test_the_five_methods_are_there_and_none_is_broken() -> None:
    assert {"ce", "balanced-softmax", "logit-adjustment", "ride", "sade"} <= set(REGISTRY.plugins)
    assert REGISTRY.broken == {}
    assert REGISTRY.clashes == {}


# -- what a method says of itself ----------------------------------------------------------------


@pytest.mark.parametrize("plugin", METHODS)
def test_has_name_title_reference_and_version(plugin: Plugin[Method[Any]]) -> None:
    cls = plugin.cls
    assert check_name(cls.name, "method") == plugin.name
    assert cls.title.strip()
    assert cls.__doc__
    assert isinstance(cls.reference, Reference)  # a plugin may do without, what ships may not
    assert cls.reference.authors
    assert cls.reference.title
    assert cls.reference.venue
    assert 1990 < cls.reference.year < 2100
    assert cls.reference.url.startswith("https://")
    assert type(cls.version) is int
    assert cls.version >= 1
    assert cls.strategy in load_registries().strategies.plugins


@pytest.mark.parametrize("plugin", METHODS)
def test_published_settings_are_defaults_or_named_in_the_recipe(
    plugin: Plugin[Method[Any]],
) -> None:
    reference, defaults = plugin.cls.reference, plugin.cls.hyper_type().to_json()
    assert reference is not None
    recipe = {field.name for field in dataclasses.fields(Recipe)}
    for key, published in reference.settings.items():
        if key.startswith("recipe."):
            assert key.removeprefix("recipe.") in recipe
        else:
            assert defaults[key] == published
    if reference.settings:
        assert reference.settings_source


@pytest.mark.parametrize("plugin", METHODS)
def test_hyper_parameters_are_typed_frozen_and_come_back_from_json(
    plugin: Plugin[Method[Any]],
) -> None:
    kind = plugin.cls.hyper_type
    assert issubclass(kind, Hyper)
    for changes in variants(plugin):
        hyper = kind.from_mapping(changes, plugin.name)
        stored = json.loads(json.dumps(hyper.to_json(), allow_nan=False))
        assert kind.from_mapping(stored, plugin.name) == hyper
        as_text = {key: str(value) for key, value in hyper.to_json().items()}
        assert kind.from_mapping(as_text, plugin.name) == hyper  # as a worker gets them
        assert set(hyper.training_part()) <= set(hyper.to_json())
        for field in dataclasses.fields(kind):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(hyper, field.name, 1)


@pytest.mark.parametrize("plugin", METHODS)
def test_hyper_parameters_have_a_help_text(plugin: Plugin[Method[Any]]) -> None:
    for field in dataclasses.fields(plugin.cls.hyper_type):
        assert field.metadata["help"]


@pytest.mark.parametrize("plugin", METHODS)
def test_an_unknown_hyper_parameter_is_refused(plugin: Plugin[Method[Any]]) -> None:
    fields = [field.name for field in dataclasses.fields(plugin.cls.hyper_type)]
    wrong = f"{fields[0]}x" if fields else "tau"
    expected = f"did you mean '{fields[0]}'" if fields else "it has: none"
    with pytest.raises(InputError, match=f"{plugin.name} has no '{wrong}'.*{expected}"):
        plugin.cls.hyper_type.from_mapping({wrong: 1}, plugin.name)


@pytest.mark.parametrize("case", CASES)
def test_training_identity_names_a_method_that_can_be_built(case: Case) -> None:
    name, hyper = case.build().training_identity()
    assert json.loads(json.dumps(dict(hyper), allow_nan=False)) == dict(hyper)
    trainer = REGISTRY.get(name).cls
    trained = trainer(torch.tensor(case.counts), trainer.hyper_type.from_mapping(hyper, name))
    assert trained.training_identity()[0] == name  # the one that trains trains itself
    assert trained.architecture() == case.build().architecture()


@pytest.mark.parametrize("case", CASES)
def test_a_method_trained_as_another_has_its_loss(case: Case) -> None:
    name, hyper = case.build().training_identity()
    trainer = REGISTRY.get(name).cls
    trained = trainer(torch.tensor(case.counts), trainer.hyper_type.from_mapping(hyper, name))
    logits, targets = case.example()
    assert torch.equal(loss(case.build(), logits, targets), loss(trained, logits, targets))


@pytest.mark.parametrize("case", CASES)
def test_architecture_and_phases(case: Case) -> None:
    request = case.build().architecture()
    assert isinstance(request, Architecture)
    assert request.experts >= 1
    phases = case.build().phases()
    assert phases
    assert all(phase.share > 0 for phase in phases)


# -- the loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("progress", PROGRESS)
@pytest.mark.parametrize("case", CASES)
def test_loss_is_a_finite_scalar_that_reaches_every_expert(case: Case, progress: float) -> None:
    logits, targets = case.example()
    logits.requires_grad_()
    result = loss(case.build(), logits, targets, progress)
    assert result.shape == ()
    assert result.dtype == torch.float32
    assert torch.isfinite(result)
    (gradient,) = torch.autograd.grad(result, logits)
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().sum(dim=(0, 2)) > 0).all()


@pytest.mark.parametrize("case", CASES)
def test_loss_is_finite_for_extreme_logits_and_a_single_image(case: Case) -> None:
    logits, targets = case.example(batch=1)
    for scale in (0.0, 1e3):
        assert torch.isfinite(loss(case.build(), logits * scale, targets, 0.9))


@pytest.mark.parametrize("case", CASES)
def test_loss_changes_no_input_and_repeats_itself(case: Case) -> None:
    logits, targets = case.example()
    before, counts = (logits.clone(), targets.clone()), torch.tensor(case.counts)
    method = case.build()
    for progress in PROGRESS:
        first = loss(method, logits, targets, progress)
        assert torch.equal(first, loss(method, logits, targets, progress))
        assert torch.equal(first, loss(case.build(), logits, targets, progress))
    assert torch.equal(logits, before[0])
    assert torch.equal(targets, before[1])
    assert torch.equal(method.counts, counts)


@pytest.mark.parametrize("case", CASES)
def test_where_the_stage_is_the_same_so_is_the_loss(case: Case) -> None:
    """What a recorded training step relies on."""
    method, example = case.build(), case.example()
    by_stage: dict[object, float] = {}
    for progress in torch.linspace(0, 0.995, 200).tolist():
        value = loss(method, *example, progress).item()
        assert by_stage.setdefault(method.loss_stage(progress), value) == value


@pytest.mark.parametrize("case", CASES)
def test_loss_leaves_the_global_generator_alone(case: Case) -> None:
    state = torch.get_rng_state()
    loss(case.build(), *case.example())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_the_images_in_a_batch_does_not_matter(case: Case) -> None:
    logits, targets = case.example()
    order = torch.randperm(len(targets), generator=rng())
    one = loss(case.build(), logits, targets, 0.9)
    torch.testing.assert_close(loss(case.build(), logits[order], targets[order], 0.9), one)


@pytest.mark.parametrize("progress", PROGRESS)
# Distinct counts only: between classes of equal count a rank is broken by the class index, so
# SADE's inverse prior of tied classes depends on their labels.
@pytest.mark.parametrize("case", cases("two", "ten"))
def test_renaming_the_classes_changes_nothing(case: Case, progress: float) -> None:
    logits, targets = case.example(batch=12)
    new = torch.randperm(len(case.counts), generator=rng())  # class c is called new[c]
    old = torch.argsort(new)
    renamed = case.build([case.counts[c] for c in old.tolist()])
    method = case.build()
    torch.testing.assert_close(
        loss(renamed, logits[..., old], new[targets], progress),
        loss(method, logits, targets, progress),
    )
    torch.testing.assert_close(renamed.predict(logits[..., old]), method.predict(logits)[:, old])
    bias = method.bias()
    if bias is not None:
        other = renamed.bias()
        assert other is not None
        torch.testing.assert_close(other, bias[:, old])


# -- prediction and bias -------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_predict_gives_one_finite_score_per_class(case: Case) -> None:
    logits, _ = case.example()
    before = logits.clone()
    scores = case.build().predict(logits)
    assert scores.shape == (8, len(case.counts))
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert torch.equal(logits, before)
    torch.testing.assert_close(case.build().predict(logits[2:3]), scores[2:3])  # image by image


@pytest.mark.parametrize("case", CASES)
def test_bias_has_one_row_per_expert_or_is_none(case: Case) -> None:
    method = case.build()
    shape = (method.architecture().experts, len(case.counts))
    for bias in (method.bias(), method.reference_bias()):
        if bias is not None:
            assert bias.shape == shape
            assert bias.dtype == torch.float32
            assert torch.isfinite(bias).all()


@pytest.mark.parametrize("case", CASES)
def test_a_stated_bias_is_that_of_the_loss(case: Case) -> None:
    """Where the loss is cross-entropy on z_e + b_e, z_e = -b_e gives every class the same chance.

    The slope of the loss there is known: 1/C minus the target, over the batch.
    """
    method = case.build()
    bias = method.bias()
    if bias is None:
        assert method.name in WITHOUT_BIAS
        return
    classes = len(case.counts)
    targets = torch.arange(classes)
    logits = (-bias).expand(classes, *bias.shape).clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(method, logits, targets), logits)
    expected = (1 / classes - torch.eye(classes)) / classes
    torch.testing.assert_close(slope, expected[:, None].expand_as(slope), atol=1e-6, rtol=1e-4)


WITHOUT_BIAS = {"ride"}
"""Margins and deferred weights have no closed form (METHODS.md, section 2.2)."""
