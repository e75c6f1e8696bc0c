"""``load_results``: columns, order, draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ltbench.errors import InputError
from ltbench.report.frames.results import COLUMNS, load_results

from ..builder import Results, flat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    results = Results(tmp_path, draws=3)
    for seed in (1, 0):
        # forward: 50 + seed + draw, uniform: 40 + seed
        results.add(
            "ce", seed, lambda name, s, draw: (50 if name.startswith("f") else 40) + s + draw
        )
    return tmp_path


def test_mean_over_draws(folder: Path) -> None:
    frame = load_results(folder)
    assert list(frame.columns) == list(COLUMNS)
    row = frame[(frame.seed == 1) & (frame.distribution == "forward10")].iloc[0]
    assert row.top1 == pytest.approx(52.0)  # mean of 51, 52, 53
    assert (row.n_draws, row.n_images, row.ratio, row.kind) == (3, 100, 10.0, "forward")
    assert pd.isna(row.draw)
    assert pd.isna(row.many)


def test_order_is_seed_then_forward_to_backward_then_parts(folder: Path) -> None:
    frame = load_results(folder)
    assert list(frame.seed) == [0] * 8 + [1] * 8
    assert list(frame.distribution[:8]) == [
        *("forward10", "forward2", "uniform", "backward2", "backward10"),
        *("many-only", "medium-only", "few-only"),
    ]


def test_all_draws_and_one_draw(folder: Path) -> None:
    every = load_results(folder, draws="all")
    assert len(every) == 2 * (4 * 3 + 4)
    assert set(every.n_draws) == {1}
    first = load_results(folder, draws=0)
    second = load_results(folder, draws=2)
    assert len(first) == len(second) == 16
    assert first[first.distribution == "forward2"].top1.tolist() == [50.0, 51.0]
    assert second[second.distribution == "forward2"].top1.tolist() == [52.0, 53.0]
    # The uniform set has every image: the same whatever the draw.
    assert second[second.distribution == "uniform"].top1.tolist() == [40.0, 41.0]


def test_groups_stand_in_uniform_rows(folder: Path) -> None:
    frame = load_results(folder)
    uniform = frame[frame.distribution == "uniform"]
    assert uniform[["many", "medium", "few"]].notna().all(axis=None)
    assert frame[frame.distribution != "uniform"].many.isna().all()


def test_twice_gives_equal_frames(folder: Path) -> None:
    pd.testing.assert_frame_equal(load_results(folder), load_results(str(folder)))


@pytest.mark.parametrize("draws", ["median", -1, 1.5, True, None, 99])
def test_bad_draws_are_input_errors(folder: Path, draws: object) -> None:
    with pytest.raises(InputError, match="draw"):
        load_results(folder, draws=draws)  # type: ignore[arg-type]


def test_empty_folder_gives_an_empty_frame_with_the_same_types(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = load_results(tmp_path_factory.mktemp("empty"))
    assert len(empty) == 0
    assert empty.dtypes.equals(load_results(folder).dtypes)


def test_missing_path_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_results(tmp_path / "nowhere")


def test_report_never_imports_torch(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    code = (
        "import sys; from pathlib import Path\n"
        "from ltbench.report.build import build_report\n"
        "from ltbench.report.frames.results import load_results\n"
        "load_results(sys.argv[1]); build_report(Path(sys.argv[1]))\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot was imported'\n"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
