"""The training loop on 21 tiny images: resume, failures, phases, samplers, randomness."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ltbench.errors import ContractError, DivergedError, InterruptedRun
from ltbench.method import Architecture, Phase
from ltbench.models.build import build_network
from ltbench.models.resnet import ExpertResNet
from ltbench.seeds import generator
from ltbench.train.augment import Augmenter
from ltbench.train.checkpoint import FILE, Progress
from ltbench.train.loop import Hooks, TrainingJob, resolved_recipe, train
from ltbench.train.sampler import epoch_order
from ltbench.train.schedule import learning_rate
from ltbench.train.speed import PLAIN

MakeJob = Callable[..., TrainingJob]
STAGES = (
    Phase("first", 3.0),
    Phase("heads", 1.0, train="heads", sampler="class-balanced", reset_heads=True),
)


def run(job: TrainingJob, hooks: Hooks | None = None) -> tuple[ExpertResNet, Progress]:
    return train(job, hooks or Hooks(), {"host": "here"})


def weights(network: ExpertResNet) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(one: ExpertResNet, other: ExpertResNet) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def losses(progress: Progress) -> list[float]:
    return [record["loss"] for record in progress.history]


def stop_after(epochs: int) -> Hooks:
    """Asks to stop at the end of an epoch."""
    done: list[int] = []
    return Hooks(lambda record: done.append(1), lambda: len(done) >= epochs)


def interrupted(job: TrainingJob, hooks: Hooks) -> None:
    with pytest.raises(InterruptedRun):
        run(job, hooks)


# -- a plain run ---------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_records_every_epoch(make_job: MakeJob) -> None:
    seen: list[dict[str, Any]] = []
    _, progress = run(make_job("ce", epochs=12), Hooks(seen.append))
    assert progress.epochs_done == 12
    assert progress.history == seen
    assert [record["epoch"] for record in seen] == list(range(1, 13))
    assert seen[-1]["loss"] < 0.8 * seen[0]["loss"]
    assert progress.environments == [{"host": "here", **PLAIN.facts()}]


@pytest.mark.parametrize("method", ["ce", "balanced-softmax", "ride", "sade"])
def test_the_same_seed_gives_the_same_bits(make_job: MakeJob, method: str) -> None:
    first, second = (run(make_job(method, epochs=2)) for _ in range(2))
    other = run(make_job(method, epochs=2, seed=1))
    assert same(first[0], second[0])
    assert losses(first[1]) == losses(second[1])
    assert not same(first[0], other[0])


def test_global_generators_are_neither_read_nor_written(make_job: MakeJob) -> None:
    torch.manual_seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state(legacy=False)
    first, _ = run(make_job("sade", epochs=2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_equal(np.random.get_state(legacy=False), numpy_state)
    torch.manual_seed(2)
    second, _ = run(make_job("sade", epochs=2))
    assert same(first, second)


def test_every_image_is_seen_once_an_epoch_in_batches(make_job: MakeJob, toy: Any) -> None:
    seen: list[Tensor] = []

    def record(logits: Tensor, targets: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        seen.append(targets)
        return logits.mean()

    toy.replace = record
    run(make_job(toy, epochs=2))
    assert [len(batch) for batch in seen] == [8, 8, 5, 8, 8, 5]
    for epoch in (seen[:3], seen[3:]):
        assert torch.bincount(torch.cat(epoch)).tolist() == [12, 6, 3]
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:]))


def test_the_loss_gets_progress_float32_logits_and_a_seeded_generator(
    make_job: MakeJob, toy: Any
) -> None:
    calls: list[tuple[float, torch.dtype, float, tuple[int, ...]]] = []

    def record(logits: Tensor, targets: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        drawn = torch.rand((), generator=rng).item()
        calls.append((progress, logits.dtype, drawn, tuple(logits.shape)))
        return logits.square().mean()

    toy.replace = record
    toy.request = Architecture(experts=2)
    for precision in ("float32", "bf16"):
        run(make_job(toy, precision=precision))
    half = len(calls) // 2
    assert {call[1] for call in calls} == {torch.float32}
    assert {call[3] for call in calls} == {(8, 2, 3), (5, 2, 3)}
    assert [call[0] for call in calls[:half]] == [e / 4 for e in range(4) for _ in range(3)]
    draws = [call[2] for call in calls]
    assert draws[:half] == draws[half:]
    assert len(set(draws[:half])) == half


def test_bf16_starts_like_float32_and_trains(make_job: MakeJob) -> None:
    exact = losses(run(make_job("ce", epochs=12))[1])
    rounded = losses(run(make_job("ce", epochs=12, precision="bf16"))[1])
    assert rounded[0] == pytest.approx(exact[0], rel=0.05)
    assert rounded[0] != exact[0]
    assert rounded[-1] < 0.8 * rounded[0]


@pytest.mark.parametrize("method", ["ce", "sade"])
@pytest.mark.parametrize("recipe", [{}, {"momentum": 0.0}, {"nesterov": False}])
def test_training_equals_a_plain_loop(
    make_job: MakeJob, method: str, recipe: dict[str, Any]
) -> None:
    """SGD written out weight by weight. The loop's own is fused, on another memory layout."""
    job = make_job(method, epochs=3, lr=0.005, **recipe)
    settings = job.recipe
    request = job.method.architecture()
    network = build_network("resnet8", 3, request, generator("network", 0)).train()
    velocity: dict[str, Tensor] = {}
    augmenter = Augmenter(settings, 8, torch.device("cpu"))
    for epoch in range(3):
        order = epoch_order(job.labels, 1.0, generator("order", 0, epoch))
        draws = augmenter.draw(21, generator("augmentation", 0, epoch))
        lr = learning_rate(settings, epoch, 3)
        for start in range(0, 21, 8):
            chosen = order[start : start + 8]
            raw = augmenter.apply(job.images[chosen], draws[start : start + 8])
            inputs = (raw.float() / 255 - 0.5) / 0.25
            loss = job.method.loss(network(inputs), job.labels[chosen], progress=epoch / 3)
            names, values = zip(*network.named_parameters(), strict=True)
            for name, value, slope in zip(
                names, values, torch.autograd.grad(loss, values), strict=True
            ):
                step = slope + settings.weight_decay * value.detach()
                if settings.momentum:
                    before = velocity.get(name)
                    velocity[name] = step if before is None else settings.momentum * before + step
                    nesterov = step + settings.momentum * velocity[name]
                    step = nesterov if settings.nesterov else velocity[name]
                with torch.no_grad():
                    value.sub_(lr * step)
    trained = run(job)[0].state_dict()
    for name, expected in network.state_dict().items():
        assert torch.allclose(trained[name], expected, atol=1e-4, rtol=1e-3), name


def test_the_learning_rate_follows_the_schedule(make_job: MakeJob) -> None:
    _, progress = run(make_job("ce", milestones=(0.5,), gamma=0.1))
    rates = [record["lr"] for record in progress.history]
    assert rates == pytest.approx([0.05] * 2 + [0.005] * 2)


# -- resume --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ce", "ride", "sade"])
def test_resume_after_any_epoch_gives_the_same_bits(make_job: MakeJob, method: str) -> None:
    whole, progress = run(make_job(method))
    job = make_job(method, store=True)
    for _ in range(3):
        interrupted(job, stop_after(1))
    resumed, again = run(job)
    assert same(resumed, whole)
    assert losses(again) == losses(progress)
    assert again.epochs_done == 4


def test_strong_augmentation_changes_training_and_resumes_to_the_same_bits(
    make_job: MakeJob,
) -> None:
    plain, _ = run(make_job("ce"))
    strong, progress = run(make_job("ce", augment="autoaugment+cutout"))
    assert not same(strong, plain)
    job = make_job("ce", augment="autoaugment+cutout", store=True)
    interrupted(job, stop_after(2))
    resumed, again = run(job)
    assert same(resumed, strong)
    assert losses(again) == losses(progress)


def test_a_record_tells_strong_augmentation_only_where_it_is_used(make_job: MakeJob) -> None:
    """Records of one recipe before and after the setting came are equal."""
    assert "augment" not in resolved_recipe(make_job("ce").recipe)
    told = resolved_recipe(make_job("ce", augment="cutout").recipe)
    assert told["augment"] == "cutout"
    assert isinstance(told["milestones"], list)


def test_resume_within_and_between_phases_gives_the_same_bits(make_job: MakeJob, toy: Any) -> None:
    toy.stages = STAGES
    whole, _ = run(make_job(toy, epochs=6))
    job = make_job(toy, epochs=6, store=True)
    for _ in range(5):
        interrupted(job, stop_after(1))
    assert same(run(job)[0], whole)


def test_a_stop_within_an_epoch_goes_on_from_its_start(make_job: MakeJob, toy: Any) -> None:
    whole, _ = run(make_job(toy))
    job = make_job(toy, store=True)
    calls: list[int] = []
    plain = toy.loss
    steps = itertools.count(1)

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(next(steps))
        result: Tensor = plain(*args, **kwargs)
        return result

    toy.loss = counted
    interrupted(job, Hooks(should_stop=lambda: len(calls) == 5))  # the second step of epoch 2
    assert len(calls) == 5
    assert same(run(job)[0], whole)


def test_without_a_recent_checkpoint_a_stop_waits_for_the_end_of_the_epoch(
    make_job: MakeJob, toy: Any
) -> None:
    whole, _ = run(make_job(toy))
    job = make_job(toy, store=True, checkpoint_seconds=1e9)
    seen: list[int] = []
    with pytest.raises(InterruptedRun, match="stopped after epoch 2 of 4"):
        run(job, Hooks(lambda r: seen.append(r["epoch"]), lambda: seen == [1, 2]))
    assert same(run(job)[0], whole)


def test_a_stop_after_the_last_epoch_is_no_stop(make_job: MakeJob) -> None:
    _, progress = run(make_job("ce"), stop_after(4))
    assert progress.epochs_done == 4


def test_a_finished_training_is_not_trained_again(make_job: MakeJob) -> None:
    job = make_job("ce", store=True)
    whole, _ = run(job)
    seen: list[dict[str, Any]] = []
    again, progress = run(job, Hooks(seen.append))
    assert seen == []
    assert same(again, whole)
    assert progress.epochs_done == 4


def test_environments_are_collected_once_each(make_job: MakeJob) -> None:
    job = make_job("ce", store=True)
    for host in ("a", "a", "b"):
        with pytest.raises(InterruptedRun):
            train(job, stop_after(1), {"host": host})
    _, progress = train(job, Hooks(), {"host": "a"})
    assert [each["host"] for each in progress.environments] == ["a", "b"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "other trial"])
def test_a_damaged_checkpoint_is_kept_and_training_starts_afresh(
    make_job: MakeJob, damage: str
) -> None:
    whole, _ = run(make_job("ce", epochs=2))
    job = make_job("ce", epochs=2, store=True)
    interrupted(job, stop_after(1))
    assert job.folder is not None
    path = job.folder / FILE
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a checkpoint")
    else:
        job = dataclasses.replace(job, trial="xyz")
    bad = path.read_bytes()
    seen: list[dict[str, Any]] = []
    network, _ = run(job, Hooks(seen.append))
    assert [record["epoch"] for record in seen] == [1, 2]
    assert same(network, whole)
    assert (path.parent / "checkpoint.corrupt").read_bytes() == bad


def test_no_checkpoint_without_a_folder_or_before_its_time(make_job: MakeJob) -> None:
    job = make_job("ce", store=True, checkpoint_seconds=1e9)
    assert job.folder is not None
    written: list[bool] = []
    path = job.folder / FILE
    run(job, Hooks(lambda record: written.append(path.exists())))
    assert written == [False, False, False, True]  # at the end always


# -- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_names_epoch_step_rate_and_last_good_epoch(
    make_job: MakeJob, toy: Any, bad: float
) -> None:
    steps = itertools.count(1)
    toy.replace = lambda logits, *_: logits.mean() * 0 + (bad if next(steps) == 5 else 1)
    with pytest.raises(DivergedError) as caught:
        run(make_job(toy))
    text = str(caught.value)
    assert text.startswith(f"method 'toy': loss is {bad} in epoch 2, step 2, learning rate 0.05")
    assert "last good epoch: epoch 1" in text
    assert "\n" not in text


def test_divergence_in_the_first_epoch_has_no_good_one(make_job: MakeJob, toy: Any) -> None:
    toy.replace = lambda logits, *_: logits.mean() * math.nan
    with pytest.raises(DivergedError, match=r"epoch 1, step 1, .*last good epoch: none"):
        run(make_job(toy))


@pytest.mark.parametrize(
    ("loss", "returned"),
    [
        (lambda logits, *_: logits.mean(dim=(1, 2)), r"shape \(8,\), torch.float32"),
        (lambda logits, *_: logits.mean()[None], r"shape \(1,\)"),
        (lambda logits, *_: logits.mean().item(), "float"),
        (lambda logits, *_: None, "NoneType"),
        (lambda logits, *_: torch.tensor(1), "torch.int64"),
        (lambda logits, *_: torch.tensor(1.0), "requires_grad=False"),
    ],
)
def test_a_loss_of_the_wrong_kind_breaks_the_contract(
    make_job: MakeJob, toy: Any, loss: Any, returned: str
) -> None:
    toy.replace = loss
    with pytest.raises(ContractError, match=f"method 'toy': loss returned .*{returned}") as caught:
        run(make_job(toy))
    assert "expected a scalar float tensor" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_in_the_loss_is_passed_on(make_job: MakeJob, toy: Any) -> None:
    def fail(*args: object) -> Tensor:
        raise ZeroDivisionError("in the plugin")

    toy.replace = fail
    with pytest.raises(ZeroDivisionError, match="in the plugin"):
        run(make_job(toy))


@pytest.mark.parametrize("stages", [(), ("heads",), (Phase(),) * 5])
def test_impossible_phases_break_the_contract(make_job: MakeJob, toy: Any, stages: Any) -> None:
    toy.stages = stages
    with pytest.raises(ContractError, match="phases"):
        run(make_job(toy))


# -- phases --------------------------------------------------------------------------------------


def snapshots(job: TrainingJob) -> list[dict[str, Tensor]]:
    """The weights after each epoch, by stopping there."""
    found = []
    for _ in range(job.recipe.epochs - 1):
        interrupted(job, stop_after(1))
        assert job.folder is not None
        stored = load_file(job.folder / FILE)
        found.append({k: v for k, v in stored.items() if k.startswith("network.")})
    final = weights(run(job)[0])
    return [*found, {f"network.{k}": v for k, v in final.items()}]


def test_a_heads_only_phase_leaves_the_trunk_alone_batchnorm_included(
    make_job: MakeJob, toy: Any
) -> None:
    toy.stages = (Phase("first", 1.0), Phase("heads", 1.0, train="heads"))
    states = snapshots(make_job(toy, epochs=4, store=True))
    between, end = states[1], states[3]
    for key in between:
        if ".head." in key:
            assert not torch.equal(end[key], between[key]), key
        else:
            assert torch.equal(end[key], between[key]), key
    trunk = [k for k in between if ".head." not in k]
    assert any("running_mean" in key for key in trunk)
    assert any(not torch.equal(states[0][key], between[key]) for key in trunk)


def test_a_phase_after_heads_only_trains_everything_again(make_job: MakeJob, toy: Any) -> None:
    toy.stages = (Phase("heads", 1.0, train="heads"), Phase("all", 1.0))
    states = snapshots(make_job(toy, epochs=2, store=True))
    changed = [key for key in states[0] if not torch.equal(states[0][key], states[1][key])]
    assert any(".head." not in key and key.endswith("weight") for key in changed)
    assert any("running_mean" in key for key in changed)


def test_reset_heads_starts_from_fresh_weights(make_job: MakeJob, toy: Any) -> None:
    ends = []
    for reset in (False, True):
        toy.stages = (Phase("a", 1.0), Phase("b", 1.0, train="heads", reset_heads=reset))
        ends.append(run(make_job(toy, epochs=2))[0])
    trunks = [[v for k, v in e.state_dict().items() if ".head." not in k] for e in ends]
    assert all(torch.equal(a, b) for a, b in zip(*trunks, strict=True))
    heads = [next(e.heads()).weight for e in ends]
    assert not torch.equal(*heads)


def test_each_phase_runs_its_own_schedule(make_job: MakeJob, toy: Any) -> None:
    toy.stages = (Phase("a", 1.0), Phase("b", 1.0))
    _, progress = run(make_job(toy, epochs=8, milestones=(0.5,), lr=0.01, gamma=0.1))
    half = [0.01] * 2 + [0.001] * 2
    assert [record["lr"] for record in progress.history] == pytest.approx(half * 2)


def test_momentum_does_not_cross_phases(make_job: MakeJob, toy: Any) -> None:
    """With a zero gradient, no momentum and no decay, the second phase must not move anything."""
    toy.stages = (Phase("a", 1.0), Phase("b", 1.0))
    toy.replace = lambda logits, targets, progress, rng: (
        torch.nn.functional.cross_entropy(logits[:, 0], targets) * (1.0 if progress < 0.5 else 0.0)
    )
    states = snapshots(make_job(toy, epochs=2, store=True, weight_decay=0.0))
    for key in states[0]:
        if "running" not in key and "num_batches" not in key:
            assert torch.equal(states[0][key], states[1][key]), key


# -- samplers ------------------------------------------------------------------------------------


def test_instance_order_is_a_permutation() -> None:
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    order = epoch_order(labels, 1.0, generator("x"))
    assert order.sort().values.tolist() == list(range(100))
    assert torch.equal(order, epoch_order(labels, 1.0, generator("x")))


def test_class_balanced_order_draws_classes_equally() -> None:
    labels = torch.tensor([0] * 900 + [2] * 90 + [3] * 10)  # class 1 has no image
    order = epoch_order(labels, 0.0, generator("x"))
    assert len(order) == 1000
    drawn = torch.bincount(labels[order], minlength=4)
    assert drawn[1] == 0
    for c in (0, 2, 3):
        assert abs(drawn[c].item() - 1000 / 3) < 4.5 * math.sqrt(1000 * 2 / 9)
    rare = torch.bincount(order[labels[order] == 3] - 990, minlength=10)
    assert (rare > 0).all()  # each image of the class


def test_the_loop_uses_the_phases_sampler(make_job: MakeJob, toy: Any) -> None:
    seen: list[Tensor] = []

    def record(logits: Tensor, targets: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        seen.append(targets)
        return logits.mean()

    toy.replace = record
    toy.stages = (Phase(sampler="class-balanced"),)
    run(make_job(toy, epochs=10))
    shares = torch.bincount(torch.cat(seen)).double() / (21 * 10)
    # More than three deviations; of the images, 57 %, 29 % and 14 % are of these classes.
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3).double(), atol=0.12, rtol=0)


# -- the start -----------------------------------------------------------------------------------


def test_training_starts_from_the_seeds_network(make_job: MakeJob, toy: Any) -> None:
    """A loss without slope, no decay: what comes out is what was built."""
    toy.replace = lambda logits, *_: logits.mean() * 0
    network, _ = run(make_job(toy, epochs=1, weight_decay=0.0))
    fresh = build_network("resnet8", 3, Architecture(), generator("network", 0))
    for (name, one), other in zip(network.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, other), name
