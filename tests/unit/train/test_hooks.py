"""Every hook of a method in the one loop: mixing, second stream, views, parts, resume, recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.errors import ContractError, InterruptedRun
from ltbench.method import Images, Method, NoHyper, Phase, Seen
from ltbench.train.checkpoint import Progress
from ltbench.train.loop import Hooks, TrainingJob, train
from ltbench.train.sampler import epoch_order
from ltbench.train.schedule import phase_rate
from ltbench.train.speed import Speed
from tests.unit.train.test_step import graphs as graphs  # a fixture

MakeJob = Callable[..., TrainingJob]
COUNTS = torch.tensor([12, 6, 3])


class Everything(Method[NoHyper]):
    """Uses every hook: whatever is not restored or repeated as it was shows in the bits."""

    name: ClassVar = "everything"
    title: ClassVar = "Everything"
    stages: tuple[Phase, ...] = (
        Phase("first", 2.0, views=("recipe", "recipe"), second=0.0),
        Phase("second", 1.0, train=("heads", "extra"), sampler=0.5, batchnorm="adapted", lr=0.3,
              schedule="cosine", second="class-balanced", views=("recipe", "strong")),
    )  # fmt: skip

    def phases(self) -> tuple[Phase, ...]:
        return self.stages

    def build(self, network: Any) -> nn.Module:
        class Extra(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.project = nn.Linear(network.feature_width, 3)
                self.slow = nn.Parameter(torch.rand(3), requires_grad=False)
                self.mean: Tensor
                self.register_buffer("mean", torch.zeros(network.feature_width))

        return Extra()

    def draw(self, batch: int, *, progress: float, rng: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.rand(1, generator=rng), torch.randperm(batch, generator=rng))

    def mix(self, first: Images, second: Images, draws: tuple[Tensor, ...]) -> Images:
        weight, partner = draws
        pixels = first.pixels.unflatten(0, (2, -1))
        hot = [F.one_hot(images.targets, 3).float() for images in (first, second)]
        return Images(
            (weight * pixels + (1 - weight) * second.pixels[partner]).flatten(0, 1),
            weight * hot[0] + (1 - weight) * hot[1][partner],
        )

    def objective(self, seen: Seen) -> Tensor:
        extra: Any = self.extra
        own = F.cross_entropy(seen.logits[0, :, 0] + extra.slow, seen.targets)
        other = F.cross_entropy(extra.project(seen.features[1, :, 0] - extra.mean), seen.targets)
        return own + other

    def after_step(self, network: Any, seen: Seen) -> None:
        extra: Any = self.extra
        assert not seen.features.requires_grad
        extra.mean.mul_(0.9).add_(0.1 * seen.features[0, :, 0].mean(0))
        extra.slow.add_(0.01)

    def advance(self, descend: Callable[[], Tensor], optimizer: Any) -> Tensor:
        first = descend()
        weights = [
            p for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        away = [0.01 * p.grad for p in weights]
        with torch.no_grad():
            torch._foreach_add_(weights, away)
        descend()
        with torch.no_grad():
            torch._foreach_sub_(weights, away)
        optimizer.step()
        return first


def everything() -> Everything:
    return Everything(COUNTS, NoHyper())


def run(job: TrainingJob, hooks: Hooks | None = None) -> tuple[dict[str, Tensor], Progress]:
    network, progress = train(job, hooks or Hooks(), {})
    extra = job.method.extra
    more = {f"extra.{k}": v for k, v in extra.state_dict().items()} if extra is not None else {}
    return {**network.state_dict(), **more}, progress


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_everything_trains_and_the_same_seed_gives_the_same_bits(make_job: MakeJob) -> None:
    first, progress = run(make_job(everything(), epochs=6))
    assert equal(first, run(make_job(everything(), epochs=6))[0])
    assert not equal(first, run(make_job(everything(), epochs=6, seed=1))[0])
    assert all(torch.isfinite(value).all() for value in first.values())
    assert len({record["loss"] for record in progress.history}) == 6


def test_resume_after_every_epoch_gives_the_same_bits(make_job: MakeJob) -> None:
    """Of two phases: within each and between them."""
    whole = run(make_job(everything(), epochs=6))[0]
    for _ in range(5):
        done: list[int] = []
        hooks = Hooks(lambda record, done=done: done.append(1), lambda done=done: bool(done))  # type: ignore[misc]
        with pytest.raises(InterruptedRun):
            run(make_job(everything(), epochs=6, store=True), hooks)
    resumed, progress = run(make_job(everything(), epochs=6, store=True))
    assert progress.epochs_done == 6
    assert equal(whole, resumed)


def test_a_recorded_training_has_the_bits_of_the_eager_one(
    make_job: MakeJob, graphs: list[Any]
) -> None:
    """Randomness is drawn outside and copied in: nothing stays eager."""
    constant = type("Constant", (Everything,), {"loss_stage": lambda self, progress: 0})
    jobs = [
        make_job(constant(COUNTS, NoHyper()), epochs=4, batch_size=4, speed=Speed(cuda_graph=graph))
        for graph in (False, True)
    ]
    eager, recorded = run(jobs[0]), run(jobs[1])
    assert equal(eager[0], recorded[0])
    assert sum(graph.replayed for graph in graphs) > 15


def test_the_second_stream_and_the_draws_do_not_move_the_first_stream(
    make_job: MakeJob, toy: Any
) -> None:
    """Of a method that ignores them: the bits stay."""
    plain = run(make_job(toy))[0]
    toy.stages = (Phase(second=0.0),)
    assert equal(plain, run(make_job(toy))[0])
    toy.draw = lambda batch, *, progress, rng: (torch.rand(batch, generator=rng),)
    assert equal(plain, run(make_job(toy))[0])


@pytest.mark.parametrize("exponent", [0.5, 0.0, -1.0])
def test_the_sampler_draws_classes_by_the_power_of_their_counts(exponent: float) -> None:
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([6000, 1500, 500]))
    order = epoch_order(labels, exponent, torch.Generator().manual_seed(0))
    shares = torch.bincount(labels[order], minlength=3) / len(labels)
    expected = torch.tensor([6000.0, 1500.0, 500.0]) ** exponent
    torch.testing.assert_close(shares, expected / expected.sum(), atol=0.02, rtol=0)


def test_schedules(make_job: MakeJob) -> None:
    recipe = make_job("ce", epochs=10).recipe
    cosine = [phase_rate(recipe, Phase(lr=0.5, schedule="cosine"), e, 4) for e in range(4)]
    assert cosine == pytest.approx([0.025, 0.025 * 0.853553, 0.0125, 0.025 * 0.146447], rel=1e-5)
    assert phase_rate(recipe, Phase(schedule="constant"), 3, 4) == recipe.lr


@pytest.mark.parametrize("batchnorm", ["trained", "adapted", "frozen"])
@pytest.mark.parametrize("part", ["trunk", "heads"])
def test_batchnorm_is_as_the_phase_says(
    make_job: MakeJob, toy: Any, batchnorm: Any, part: Any
) -> None:
    toy.stages = (Phase("all"), Phase("then", train=(part,), batchnorm=batchnorm))
    states: list[dict[str, Tensor]] = []

    def keep(logits: Tensor, targets: Tensor, progress: float, rng: Any) -> Tensor:
        return F.cross_entropy(logits[:, 0], targets)

    toy.replace = keep
    job = make_job(toy, epochs=2, store=True)
    done: list[int] = []
    with pytest.raises(InterruptedRun):
        run(job, Hooks(lambda record: done.append(1), lambda: bool(done)))
    from safetensors.torch import load_file

    before = load_file(job.folder / "checkpoint.safetensors")  # type: ignore[operator]
    states.append(run(job)[0])

    def moved(key: str) -> bool:
        return not torch.equal(before[f"network.{key}"], states[0][key])

    learns = part == "trunk"
    assert moved("bn.running_mean") == (
        batchnorm == "adapted" or (learns and batchnorm == "trained")
    )
    assert moved("bn.weight") == (learns and batchnorm != "frozen")
    assert moved("conv.weight") == learns
    assert moved("experts.0.head.weight") == (part == "heads")


def test_heads_that_build_made_learn_and_need_a_reset_to_be_reset(
    make_job: MakeJob, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(self: Any, network: Any) -> None:
        network.set_head(0, nn.Linear(network.feature_width, 3))

    monkeypatch.setattr(type(toy), "build", build)
    toy.stages = (Phase(train="heads"),)
    state = torch.get_rng_state()
    one, two = (run(make_job(toy, epochs=e))[0]["experts.0.head.weight"] for e in (1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(one, two)
    toy.stages = (Phase(reset_heads=True),)
    with pytest.raises(ContractError, match=r"no reset\(generator\)"):
        run(make_job(toy))


@pytest.mark.parametrize(
    ("hook", "result", "words"),
    [
        ("mix", lambda first, second, draws: first.pixels, "mix returned Tensor; expected Images"),
        ("mix", lambda first, second, draws: Images(first.pixels[1:], first.targets), "pixels (7, 3"),
        ("draw", lambda batch, *, progress, rng: [], "draw returned list; expected a tuple"),
        ("advance", lambda descend, optimizer: torch.zeros(()), "must call descend"),
    ],
)  # fmt: skip
def test_a_hook_that_breaks_the_contract_is_one_line(
    make_job: MakeJob, toy: Any, hook: str, result: Any, words: str
) -> None:
    setattr(toy, hook, result)
    with pytest.raises(ContractError) as caught:
        run(make_job(toy))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
