"""Groups, parts and processes: a divided batch trains like one that is not, in float64 up to 1e-12."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltbench.errors import InputError
from ltbench.train import loop
from ltbench.train.division import Division, divide
from ltbench.train.loop import Hooks, train
from tests.unit.train.divided import ROWS, job, trained
from tests.zygote import available, started

Found = dict[tuple[str, int, int], dict[str, Tensor]]


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert list(one) == list(other)
    for name, value in one.items():
        if value.is_floating_point():
            distance = (value - other[name]).norm() / value.norm().clamp(min=1e-30)
            assert distance < 1e-12, f"{name}: {distance:.1e}"
        else:
            assert torch.equal(value, other[name]), name


TEAM = """
import torch.multiprocessing as mp
from tests.unit.train.divided import member
mp.start_processes(member, {arguments!r}, nprocs={size}, start_method={method!r})
"""


def by_processes(
    size: int, folder: Path, asked: list[tuple[str, int, int]], environment: dict[str, str]
) -> list[Found]:
    """Forks where they can be; what they do is the same."""
    folder.mkdir()
    method = "fork" if available() else "spawn"
    code = TEAM.format(arguments=(size, str(folder), asked), size=size, method=method)
    with started([sys.executable, "-c", code], env=environment) as process:
        assert process.wait(240) == 0
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> list[Found]:
    asked = [(row, 4, 1) for row in ROWS] + [("ce", 2, 2), ("ride", 2, 2)]
    return by_processes(2, tmp_path_factory.mktemp("two") / "it", asked, environment)


@pytest.fixture(scope="module")
def alone() -> Any:
    known: dict[tuple[str, int], dict[str, Tensor]] = {}

    def train_once(row: str, norm_batch: int) -> dict[str, Tensor]:
        key = (row, norm_batch)
        known[key] = known[key] if key in known else trained(*key)
        return known[key]

    return train_once


@pytest.mark.parametrize("row", ROWS)
def test_two_processes_train_like_one(two: list[Found], alone: Any, row: str) -> None:
    """The last batch leaves the second one a group of two images."""
    assert_close(alone(row, 4), two[0][row, 4, 1])


@pytest.mark.parametrize("row", ["ce", "ride"])
def test_two_processes_work_in_parts(two: list[Found], alone: Any, row: str) -> None:
    assert_close(alone(row, 2), two[0][row, 2, 2])


@pytest.mark.parametrize("row", ROWS)
def test_all_processes_have_the_same_weights(two: list[Found], row: str) -> None:
    assert_close(
        {k: v for k, v in two[0][row, 4, 1].items() if "tracked" not in k},
        {k: v for k, v in two[1][row, 4, 1].items() if "tracked" not in k},
    )


def test_four_processes_train_like_one(
    tmp_path: Path, alone: Any, environment: dict[str, str]
) -> None:
    """The last batch has three groups: one process has no image then."""
    asked = [("ce", 2, 1), ("ride", 2, 1), ("remix", 2, 1)]
    found = by_processes(4, tmp_path / "it", asked, environment)
    for row in ("ce", "ride"):
        assert_close(alone(row, 2), found[0][row, 2, 1])
    assert_close(alone("remix", 2), found[0]["remix", 2, 1])


@pytest.mark.parametrize(
    ("row", "accumulate"), [*((row, 2) for row in ROWS), ("ce", 4), ("ride", 4), ("remix", 4)]
)
def test_parts_train_like_the_whole(alone: Any, row: str, accumulate: int) -> None:
    assert_close(alone(row, 2), trained(row, 2, accumulate=accumulate))


def test_groups_are_not_the_whole_batch(alone: Any) -> None:
    """What the other tests compare with is not what it would be anyway."""
    whole = trained("ce", None)
    assert not torch.allclose(whole["conv.weight"], alone("ce", 4)["conv.weight"], rtol=0.1)


class Grouped(nn.BatchNorm2d):
    """By the definition: rows of 4 at a time, running statistics of the first ones alone."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        made = []
        for start in range(0, len(images), 4):
            rows = images[start : start + 4]
            mean = rows.mean(dim=(0, 2, 3))
            variance = ((rows - mean[:, None, None]) ** 2).mean(dim=(0, 2, 3))
            scale = self.weight / (variance + self.eps).sqrt()
            made.append(
                (rows - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
            )
            if start == 0:
                values = rows.numel() / rows.shape[1]
                with torch.no_grad():
                    self.running_mean += 0.1 * (mean - self.running_mean)
                    unbiased = variance * values / (values - 1)
                    self.running_var += 0.1 * (unbiased - self.running_var)
                    self.num_batches_tracked += 1
        return torch.cat(made)


@pytest.mark.parametrize("row", ["ce", "ride"])
def test_groups_are_those_of_the_definition(
    alone: Any, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a network whose layers themselves take groups, in ordinary steps of whole batches."""
    assembled = loop.assemble

    def with_groups(*arguments: Any) -> Any:
        network = assembled(*arguments)
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = Grouped
        return network

    expected = alone(row, 4)
    monkeypatch.setattr(loop, "assemble", with_groups)
    assert_close(expected, trained(row, None))


@pytest.mark.parametrize("images", range(1, 18))
@pytest.mark.parametrize(
    ("norm_batch", "processes", "accumulate"),
    [(2, 1, 1), (2, 2, 2), (4, 2, 2), (2, 4, 2), (16, 1, 1)],
)
def test_parts_hold_every_image_once_in_the_same_groups(
    images: int, norm_batch: int, processes: int, accumulate: int
) -> None:
    """17 images: a batch of 16 that took the next one's only image."""
    division = Division(16, norm_batch, processes, accumulate)
    smallest = 2 if images % norm_batch == 1 and images > 1 else 1
    parts = division.parts(images, smallest)
    assert len(parts) == processes * accumulate
    groups = [group for part in parts for group in part]
    assert groups == Division(16, norm_batch).parts(images, smallest)[0]
    assert [i for g in groups for i in range(g.start, g.stop)] == list(range(images))
    shares = division.shares(images, smallest)
    assert [i for s in shares for i in range(s.start, s.stop)] == list(range(images))
    assert [g for rank in range(processes) for part in division.of_process(rank, images, smallest)
            for g in part] == groups  # fmt: skip


@pytest.mark.parametrize(
    ("norm_batch", "processes", "accumulate", "words"),
    [
        (None, 2, 1, "--processes 2 cannot share a batch of 8: BatchNorm sees the whole batch"),
        (None, 1, 4, "--accumulate 4 cannot share a batch of 8: BatchNorm sees the whole batch"),
        (2, 3, 1, "it has 4 groups of norm_batch = 2; 3 must divide 4"),
        (2, 2, 4, "--processes 2 with --accumulate 4 cannot share a batch of 8: it has 4 groups"),
    ],
)
def test_what_cannot_share_a_batch_is_told_in_one_line(
    norm_batch: int | None, processes: int, accumulate: int, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        divide(job("ce", norm_batch).recipe, processes, accumulate)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_norm_batch_divides_the_batch() -> None:
    with pytest.raises(InputError, match="norm_batch = 3 must divide batch_size = 8"):
        job("ce", 3)


def test_a_group_of_one_image_of_few_pixels_is_refused() -> None:
    one = job("ce", 1)
    tiny = dataclasses.replace(one, images=one.images[..., :4, :4])
    with pytest.raises(InputError, match=r"recipe.norm_batch = 1 is too small for images of 4 x 4"):
        train(tiny, Hooks(), {})
