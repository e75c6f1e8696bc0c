"""Which switches a word of ``--speed`` turns on, and that each trains the same network up to rounding."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from ltbench.errors import InputError
from ltbench.protocol.protocol import Recipe
from ltbench.train import compiling, one_kernel
from ltbench.train.augment import Augmenter, normalise
from ltbench.train.loop import Hooks, TrainingJob, train
from ltbench.train.speed import (
    PLAIN,
    Speed,
    check_compiler,
    check_speed,
    no_compiler,
    parse_speed,
    resolve_speed,
)

MakeJob = Callable[..., TrainingJob]
NO_COMPILER = no_compiler("cpu")


@pytest.mark.parametrize(
    ("text", "kind", "graph"),
    [
        ("auto", "cuda", True),
        ("auto", "cpu", False),
        ("auto", "mps", False),
        ("plain", "cuda", False),
    ],
)
def test_auto_is_what_was_measured_to_pay(text: str, kind: str, graph: bool) -> None:
    speed = resolve_speed(text, kind)
    assert speed == Speed(cuda_graph=graph, gives_up=graph)
    assert not any(value for name, value in speed.facts().items() if name != "cuda_graph")


def test_auto_records_no_divided_and_no_streamed_steps() -> None:
    assert resolve_speed("auto", "cuda", whole=False) == PLAIN
    assert resolve_speed("auto", "cuda", resident=False) == PLAIN


def test_words_are_switches() -> None:
    every = resolve_speed("graph+grouped+compile+augment", "cuda")
    assert all(every.facts().values())
    assert not every.gives_up  # who asks by name is told where it does not go
    assert resolve_speed("grouped", "cpu") == Speed(grouped_experts=True)
    assert parse_speed(" compile + graph ") == {"graph", "compile"}
    assert every.where(groupable=False, moves=False) == Speed(cuda_graph=True, compile=True)


@pytest.mark.parametrize("text", ["", "fast", "auto+graph", "graph+", "plain+compile", "Graph"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(
        InputError, match=r"must be auto, plain, or some of graph, grouped"
    ) as caught:
        parse_speed(text)
    assert "\n" not in str(caught.value)


def test_graphs_need_cuda_and_whole_steps() -> None:
    check_speed("auto", "cpu", divided="--accumulate")
    check_speed("grouped", "cpu")
    check_speed("graph", "cuda")
    with pytest.raises(InputError, match="--speed graph needs a CUDA device; this run uses cpu"):
        check_speed("graph", "cpu")
    with pytest.raises(InputError, match=r"--processes and --speed graph do not go together"):
        check_speed("graph", "cuda", divided="--processes")


def test_a_missing_compiler_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    check_compiler(Speed(cuda_graph=True, grouped_experts=True), "cpu")
    with pytest.raises(
        InputError, match=r"--speed compile compiles, and there is no C\+\+ compiler"
    ):
        check_compiler(Speed(compile=True), "cpu")
    with pytest.raises(InputError, match="--speed augment compiles"):
        check_compiler(Speed(compiled_augmentation=True), "cpu")


# -- grouped experts -------------------------------------------------------------------------------


def in_double(job: TrainingJob, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The weights of a training in float64 throughout, so that rounding does not grow to be seen."""
    from ltbench.train import loop

    real = loop.assemble

    def assemble(*args: object, **named: object) -> nn.Module:
        network = real(*args, **named).double()  # type: ignore[arg-type]
        network.through_heads = lambda found: (
            torch.stack(
                [network.head_of(e)(f) for e, f in zip(network.experts, found, strict=True)], 1
            ),
            torch.stack(list(found), 1),
        )
        return network

    monkeypatch.setattr(loop, "assemble", assemble)
    monkeypatch.setattr("ltbench.train.feed.normalise", lambda *args: normalise(*args).double())
    network, _ = train(job, Hooks(), {})
    monkeypatch.undo()
    return network.state_dict()


@pytest.mark.parametrize("method", ["sade", "ncl"])
def test_a_training_with_grouped_experts_ends_in_the_same_weights(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    plain = in_double(make_job(method, epochs=2), monkeypatch)
    grouped = in_double(make_job(method, epochs=2, speed=Speed(grouped_experts=True)), monkeypatch)
    assert list(plain) == list(grouped)
    for name, expected in plain.items():
        assert torch.allclose(grouped[name], expected, rtol=1e-7, atol=1e-9), name
    fresh = in_double(make_job(method, epochs=1), monkeypatch)
    assert not torch.allclose(
        fresh["experts.1.stage3.0.conv1.weight"], plain["experts.1.stage3.0.conv1.weight"]
    )


def test_the_record_says_what_had_something_to_work_on(make_job: MakeJob) -> None:
    speed = Speed(grouped_experts=True)
    for method, grouped in (("sade", True), ("ce", False), ("reslt", False)):
        _, progress = train(make_job(method, epochs=1, speed=speed), Hooks(), {"host": "a"})
        (environment,) = progress.environments
        assert environment["grouped_experts"] is grouped, method
        assert set(environment) == {"host", *PLAIN.facts()}


# -- compiled ---------------------------------------------------------------------------------------


def images_and_draws(recipe: Recipe, count: int) -> tuple[torch.Tensor, Augmenter]:
    rng = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, 3, 12, 12), dtype=torch.uint8, generator=rng)
    return images, Augmenter(recipe, 12, torch.device("cpu"))


MOVING = Recipe(epochs=1, batch_size=8, lr=0.1, crop_padding=2, flip=True, rotation=20.0)
MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.25, 0.26, 0.27])


@pytest.mark.parametrize("changes", [{}, {"crop_padding": 0}, {"flip": False}, {"rotation": 0.0}])
def test_the_one_kernel_has_the_bits_of_the_two_steps(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is made of, not compiled."""
    monkeypatch.setattr(one_kernel, "compiled", lambda function: function)
    recipe = dataclasses.replace(MOVING, **changes)  # type: ignore[arg-type]
    images, augmenter = images_and_draws(recipe, 200)
    draws = augmenter.draw(200, torch.Generator().manual_seed(4))
    found = one_kernel.OneKernel(12, MEAN, STD)(images, draws)
    expected = normalise(augmenter.apply(images, draws), MEAN, STD)
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()
    assert (augmenter.apply(images, draws) == 0).any()  # what is outside was tried, too


COMPILES = pytest.mark.skipif(
    bool(NO_COMPILER) or "LTBENCH_TEST_COMPILE" not in os.environ,
    reason=NO_COMPILER or "two minutes of compiling; LTBENCH_TEST_COMPILE=1 runs it",
)


@COMPILES
@pytest.mark.parametrize("experts", ["plain", "grouped"])
def test_a_compiled_network_trains_like_the_plain_one(make_job: MakeJob, experts: str) -> None:
    plain, _ = train(make_job("sade", epochs=1), Hooks(), {})
    speed = Speed(compile=True, grouped_experts=experts == "grouped")
    network, _ = train(make_job("sade", epochs=1, speed=speed), Hooks(), {})
    found = network.state_dict()
    for name, expected in plain.state_dict().items():
        assert torch.allclose(found[name].float(), expected.float(), rtol=1e-3, atol=1e-4), name


@COMPILES
def test_the_compiled_kernel_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path))
    images, augmenter = images_and_draws(MOVING, 8)
    draws = augmenter.draw(8, torch.Generator().manual_seed(4))
    found = one_kernel.OneKernel(12, MEAN, STD)(images, draws)
    expected = normalise(augmenter.apply(images, draws), MEAN, STD)
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()
    assert any((tmp_path / "inductor").iterdir())  # what was compiled is there for the next process


def test_the_compilers_cache_of_a_user_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path))
    compiling.compiled(normalise)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/somewhere"
