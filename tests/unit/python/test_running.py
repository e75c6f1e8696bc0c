"""Runs from wherever Python code is: a script without a main guard, stdin, an event loop, a thread."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import ltbench
from ltbench.errors import InterruptedRun
from tests.zygote import forked_workers, started

from .conftest import SHORT

SCRIPT = """
import asyncio, sys, ltbench
short = {"recipe": {"epochs": 1}, "test": {"ratios": [5], "draws": 1, "partial": False}}
async def main():
    return ltbench.run("ce", "digits-lt", seeds=1, jobs=1, results=RESULTS, device="cpu", **short)
outcome = asyncio.run(main())
print(len(outcome.finished), len(outcome.failures), len(ltbench.load_results(RESULTS)))
"""


def test_a_script_needs_no_main_guard(tmp_path: Path, environment: dict[str, str]) -> None:
    code = SCRIPT.replace("RESULTS", repr(str(tmp_path / "results")))
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert_run_once(done)


def test_a_script_needs_no_file(tmp_path: Path, environment: dict[str, str]) -> None:
    """As from stdin, where no worker could find a script to run again."""
    code = SCRIPT.replace("RESULTS", repr(str(tmp_path / "results")))
    words = [sys.executable, "-c", "import sys; exec(sys.stdin.read())"]
    with started(
        words, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        out, err = process.communicate(code, timeout=120)
    assert_run_once(subprocess.CompletedProcess(words, process.returncode, out, err))


def assert_run_once(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0", "6"]  # once, not once more in the worker
    assert not done.stderr


def test_a_running_event_loop_and_a_thread_do_not_matter(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked_workers(monkeypatch)
    arguments: dict[str, Any] = {
        **SHORT, "seeds": 1, "results": results, "device": "cpu", "train": {"holdout": 0.1},
    }  # fmt: skip

    async def inside() -> Any:
        return ltbench.evaluate_trials("ce+em", "digits-lt", **arguments)

    assert not asyncio.run(inside()).failures
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(ltbench.evaluate_trials("ce+em", "digits-lt", **arguments))
    )
    thread.start()
    thread.join()
    assert not found[0].failures
    assert "ce+em" in set(ltbench.load_results(results).label)


def test_evaluate_trains_nothing(results: Path) -> None:
    with pytest.raises(ValueError, match="ride with seed 0 is not trained yet"):
        ltbench.evaluate_trials("ride", "digits-lt", seeds=1, results=results, **SHORT)


def test_progress_is_shown_when_asked_for(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for quiet in (True, False):
        ltbench.run(
            "ce", "digits-lt", seeds=1, results=results, device="cpu", quiet=quiet,
            train={"holdout": 0.1}, **SHORT,
        )  # fmt: skip
        assert ("ce seed 0: done (1 of 1)" in capsys.readouterr().out) is not quiet


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, InterruptedRun)],
)
def test_an_interrupted_run_does_not_return(
    number: signal.Signals, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows in a notebook or script must not take an interrupted run for a finished one."""
    from ltbench.execute import run
    from ltbench.execute.plan import Plan
    from ltbench.python.execution import execute_plan

    stopped = run.Outcome(signal=int(number))
    monkeypatch.setattr(run, "execute", lambda plan, listen: stopped)
    with pytest.raises(error):
        execute_plan(Plan(ltbench.load_protocol("digits-lt"), []), quiet=True)


def test_tuning_chooses_and_tells_what_it_cost(results: Path) -> None:
    tuned = ltbench.tune_method(
        "logit-adjustment", "digits-lt", {"tau": [0.5, 2]}, seeds=1, results=results, device="cpu",
        **SHORT,
    )  # fmt: skip
    table = tuned.table
    assert table.row.tolist() == ["logit-adjustment[tau=0.5]", "logit-adjustment[tau=2]"]
    best = table.loc[table.score.idxmax()]
    assert tuned.chosen == best.row == table[table.chosen].row.item()
    assert tuned.hyper["tau"] in (0.5, 2.0)
    sets = ["forward5", "uniform", "backward5"]
    assert list(table.columns) == ["row", "score", "error", "chosen", *sets]
    assert table.score.tolist() == pytest.approx(table[sets].mean(axis=1).tolist())
    assert tuned.record.is_file()
    assert (tuned.trials, tuned.failures) == (1, ())
    assert tuned.seconds > 0


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"tau": "0.5,1"}, "must be a list of values"),
        ({"tau": 0.5}, "must be a list of values"),
        ({"tau": [(1, 2)]}, "holds no comma"),
        ({"taw": [1]}, "did you mean 'tau'"),
        (None, "must be a mapping"),
        ({}, "needs grid="),
    ],
)
def test_a_wrong_grid_is_a_value_error(grid: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ltbench.tune_method("sade", "digits-lt", grid)


def test_a_study_is_reproduced_part_by_part(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(
        'extends = "digits-lt"\nname = "tiny"\nversion = "1.0"\n[recipe]\nepochs = 1\n'
        "[test]\nratios = [5]\ndraws = 1\n"
        '[[study]]\nname = "main"\nmethods = ["ce"]\nseeds = [0]\n'
        '[[study]]\nname = "other"\nmethods = ["ce+em"]\nseeds = [0]\n'
    )
    results = tmp_path / "results"
    outcomes = ltbench.reproduce_study(str(file), "main", results=results, device="cpu")
    assert list(outcomes) == ["main"]
    assert (results / "report" / "index.md").is_file()
    outcomes = ltbench.reproduce_study(str(file), results=results, device="cpu", report=False)
    assert list(outcomes) == ["main", "other"]
    assert set(ltbench.load_results(results).label) == {"ce", "ce+oracle", "ce+em"}
    with pytest.raises(ValueError, match="has no part 'mian'"):
        ltbench.reproduce_study(str(file), ["mian"], results=results)


def test_a_report_is_written_and_shown_when_asked_for(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = ltbench.write_report(
        results, tmp_path / "report", methods="ce,sade+none", columns="F5,U", figures=False,
        cite=tmp_path / "used.bib",
    )  # fmt: skip
    assert not capsys.readouterr().out
    assert built.output == tmp_path / "report"
    assert all(file.is_file() for file in built.files)
    assert tmp_path / "used.bib" in built.files
    ltbench.write_report(results, tmp_path / "report", figures=False, quiet=False)
    assert "sade" in capsys.readouterr().out
    with pytest.raises(ValueError, match="group-by"):
        ltbench.write_report(results, group_by="colour")


def test_a_plugin_is_written_checked_and_got_by_name(tmp_path: Path) -> None:
    plugin, test = ltbench.write_plugin("method", "focal-x", tmp_path)
    assert test.is_file()
    findings = ltbench.check_plugin(plugin)
    assert (findings.holds | findings.advice).all()
    for given in (str(plugin), plugin, [plugin]):
        assert "focal-x" in ltbench.list_methods(given)
        assert ltbench.get_method("focal-x", [3, 2], plugins=given).name == "focal-x"
    assert "focal-x" not in ltbench.list_methods()
    with pytest.raises(ValueError, match="unknown method 'focal-x'"):
        ltbench.get_method("focal-x", [3, 2])
    strategy, _ = ltbench.write_plugin("strategy", "my-em", tmp_path)
    assert ltbench.get_strategy("my-em", plugins=strategy).name == "my-em"
    with pytest.raises(ValueError, match="kind = 'methods' must be one of"):
        ltbench.write_plugin("methods", "x", tmp_path)


def test_a_protocol_of_a_plugin_file_is_known_by_name(tmp_path: Path) -> None:
    file, _ = ltbench.write_plugin("protocol", "digits-hard", tmp_path)
    assert ltbench.load_protocol("digits-hard", plugins=file).name == "digits-hard"
    assert len(ltbench.load_images("digits-hard", plugins=[file])) > 0
    with pytest.raises(ValueError, match="unknown protocol"):
        ltbench.load_protocol("digits-hard")


def test_brackets_reach_a_hyper_parameter_that_is_called_like_an_argument(tmp_path: Path) -> None:
    plugin = tmp_path / "odd.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from ltbench import Hyper\n"
        "from ltbench.methods.train.cross_entropy import CrossEntropy\n"
        "from ltbench.settings import setting\n"
        "@dataclass(frozen=True)\n"
        "class OddHyper(Hyper):\n"
        "    plugins: int = setting(1)\n"
        "class Odd(CrossEntropy):\n"
        "    '''Odd.'''\n"
        "    name, title, hyper_type = 'odd', 'Odd', OddHyper\n"
    )
    method = ltbench.get_method("odd[plugins=3]", [2, 1], plugins=plugin)
    assert method.hyper.plugins == 3
    assert ltbench.get_method("sade[tau=1]", [2, 1]).hyper.tau == 1.0
    with pytest.raises(ValueError, match="'tau' is given twice"):
        ltbench.get_method("sade[tau=1]", [2, 1], tau=2)


@pytest.mark.parametrize("seeds", [1.5, True, ["a"], "three"])
def test_seeds_are_a_count_or_whole_numbers(seeds: Any) -> None:
    with pytest.raises(ValueError, match="seeds"):
        ltbench.plan_trials("ce", "digits-lt", seeds=seeds)
