"""Training heads on frozen features: the same as heads on a frozen trunk, and what the stored copies do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ltbench import get_method
from ltbench.backbone import ChosenBackbone, FeatureModel
from ltbench.data.digits import load_digits
from ltbench.errors import InputError, InterruptedRun
from ltbench.method import Method, Phase
from ltbench.models.frozen import FrozenNetwork
from ltbench.models.network import ExpertNetwork
from ltbench.protocol.protocol import Recipe
from ltbench.registry import load_backbones
from ltbench.train.frozen_feed import FeatureFeed, FeatureRows
from ltbench.train.infer import Inference
from ltbench.train.loop import Hooks, TrainingJob, _optimizer, train
from ltbench.train.parts import Parts

MEAN, STD = torch.full((3,), 0.3), torch.full((3,), 0.35)
RECIPE = Recipe(epochs=3, batch_size=16, lr=0.1, weight_decay=5e-4, warmup_epochs=0)
LABELS = torch.arange(60) % 3


def method(name: str, phases: tuple[Phase, ...] = (Phase(),)) -> Method[Any]:
    """One that learns in ``phases``."""
    found = get_method(name, [20, 20, 20])
    found.phases = lambda: phases  # type: ignore[method-assign]
    return found


def job(features: FeatureRows, **changes: Any) -> TrainingJob:
    model = changes.pop("model", FeatureModel(features.rows.shape[-1]))
    given: dict[str, Any] = {
        "trial": "t",
        "method": method("ce"),
        "recipe": RECIPE,
        "backbone": ChosenBackbone(load_backbones().get("frozen").cls, 0, model),
        "images": features,
        "labels": LABELS,
        "mean": torch.zeros(0),
        "std": torch.ones(0),
        "seed": 0,
        "device": torch.device("cpu"),
    }
    return TrainingJob(**(given | changes))


def trained(wanted: TrainingJob, hooks: Hooks | None = None) -> FrozenNetwork:
    network, _ = train(wanted, hooks or Hooks(), {})
    assert isinstance(network, FrozenNetwork)
    return network


def states(network: ExpertNetwork) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def rows(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("name", "bias"), [("ce", True), ("sade", False)])
def test_heads_on_a_frozen_trunk_are_heads_on_its_features_bit_by_bit(
    name: str, bias: bool
) -> None:
    """The trunk of a trial, its heads alone trained anew, against its stored float32 features."""
    pool = load_digits().train
    chosen = [i for i in range(len(pool)) if pool.labels[i] < 3][::6][:60]
    labels = torch.tensor(pool.labels[chosen])
    images = torch.from_numpy(pool.read(chosen))
    phases = (Phase("heads", train="heads", reset_heads=True),)
    recipe = replace(RECIPE, weight_decay=0.0)  # a bias on features has none
    common: dict[str, Any] = {
        "method": method(name, phases),
        "labels": labels,
        "recipe": recipe,
        "mean": MEAN,
        "std": STD,
    }
    network, _ = train(
        job(FeatureRows(torch.zeros(1, 1, 1)), images=images, backbone="resnet8", **common),
        Hooks(),
        {},
    )
    inference = Inference(network, MEAN, STD, torch.device("cpu"))
    features = inference.features(lambda part: images[part].numpy(), len(images))  # (N, E, D)
    stored = FeatureRows(features[None] if features.shape[1] > 1 else features[None, :, 0])
    model = FeatureModel(features.shape[2], head_bias=bias)
    heads = trained(job(stored, model=model, **common)).heads()
    for ours, theirs in zip(heads, network.heads(), strict=True):
        assert torch.equal(ours.weight, theirs.weight)
        assert not bias or torch.equal(ours.bias, theirs.bias)


def test_copies_that_equal_the_clean_features_change_nothing() -> None:
    clean = rows(60, 5).half()
    one = trained(job(FeatureRows(clean[None])))
    three = trained(job(FeatureRows(torch.stack([clean] * 3))))
    assert equal(states(one), states(three))
    other = trained(job(FeatureRows(torch.stack([clean, clean + 1, clean]))))
    assert not equal(states(one), states(other))


def test_a_copy_is_drawn_by_seed_epoch_and_place_and_all_are_met() -> None:
    stored = torch.arange(3).half()[:, None, None].expand(3, 60, 1)
    feed = FeatureFeed(FeatureRows(stored.contiguous()), 0, torch.device("cpu"))

    def met(epoch: int, first: int = 0, *name: str) -> list[float]:
        batches = [slice(i, i + 16) for i in range(first, 60, 16)]
        tickets = feed.tickets(epoch, torch.arange(60), batches, ("recipe",), *name)
        return torch.cat([feed.inputs(ticket) for ticket in tickets]).flatten().tolist()

    assert met(0) == met(0)
    assert met(0)[16:] == met(0, 16)  # wherever batches begin
    assert len({tuple(met(0)), tuple(met(1)), tuple(met(0, 0, "second"))}) == 3
    assert min(met(0).count(float(k)) for k in range(3)) > 10


def test_a_resumed_training_repeats(tmp_path: Path) -> None:
    features = FeatureRows(torch.stack([rows(60, 5), rows(60, 5, seed=2)]).half())
    whole = trained(job(features))
    done: list[int] = []
    cut = job(features, folder=tmp_path, checkpoint_seconds=0.0)
    with pytest.raises(InterruptedRun):
        trained(cut, Hooks(lambda record: done.append(1), lambda: len(done) >= 2))
    assert equal(states(trained(cut)), states(whole))


def test_weight_decay_leaves_the_bias_alone() -> None:
    """With weight decay far too strong the weights vanish, and the bias still learns the prior."""
    labels = torch.tensor([0] * 45 + [1] * 10 + [2] * 5)
    recipe = replace(RECIPE, epochs=60, lr=0.05, weight_decay=2.0, momentum=0.0)
    (head,) = trained(job(FeatureRows(rows(60, 5)[None]), labels=labels, recipe=recipe)).heads()
    prior = head.bias.detach().softmax(dim=0)
    torch.testing.assert_close(prior, torch.tensor([0.75, 10 / 60, 5 / 60]), atol=0.04, rtol=0)
    assert head.weight.norm() < 0.2


@pytest.mark.parametrize("head_lr", [None, 0.5])
def test_of_cosine_heads_the_biases_alone_are_not_decayed(head_lr: float | None) -> None:
    recipe = replace(RECIPE, head_lr=head_lr)
    model = FeatureModel(5, head="cosine", adapter=0.2)
    wanted = job(FeatureRows(rows(60, 5)[None]), model=model, method=method("sade"), recipe=recipe)
    network = trained(wanted)
    groups = _optimizer(
        Parts(network, None), recipe, torch.device("cpu"), in_tensor=False
    ).param_groups
    biases = {id(head.bias) for head in network.heads()}
    spared = {id(p) for g in groups if g["weight_decay"] == 0 for p in g["params"]}
    every = [id(p) for g in groups for p in g["params"]]
    assert spared == biases
    assert sorted(every) == sorted(map(id, network.parameters()))
    of_heads = {id(p) for g in groups if g["scale"] != 1 for p in g["params"]}
    assert len(of_heads) == (0 if head_lr is None else 6)


def test_features_are_mixed_as_images_are() -> None:
    found = trained(job(FeatureRows(rows(60, 5)[None]), method=method("mixup")))
    plain = trained(job(FeatureRows(rows(60, 5)[None])))
    assert not equal(states(found), states(plain))


def test_text_features_are_where_heads_start() -> None:
    text, recipe = rows(3, 5, seed=3), replace(RECIPE, epochs=1, lr=1e-12)
    features = FeatureRows(rows(60, 5)[None], text)
    (head,) = trained(job(features, init="text", recipe=recipe)).heads()
    expected = text / text.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head.weight.detach(), expected, atol=1e-6, rtol=0)
    with pytest.raises(InputError, match=r"no heads\.safetensors"):
        trained(job(replace(features, text=None), init="text"))


def test_buffers_are_measured_on_the_clean_training_features() -> None:
    clean = rows(60, 5) + 3
    features = FeatureRows(torch.stack([clean, clean + 100]))
    network = trained(job(features, model=FeatureModel(5, input="standard")))
    torch.testing.assert_close(network.centre, clean.mean(0))
    torch.testing.assert_close(network.spread, clean.std(0, correction=0))
