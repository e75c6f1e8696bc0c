"""Every command: what it prints, what it writes, what it leaves alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import load_results
from ltbench.cli import COMMANDS
from ltbench.report.page import picture
from ltbench.trial.checked import read_checked
from tests.zygote import started

CommandLine = Callable[..., CompletedProcess[str]]
State = dict[str, tuple[int, bytes]]

METHODS = "ce,logit-adjustment,logit-adjustment[where=loss],ride,sade,sade+none"
SHORT = [
    *("--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "test.draws=1"),
    *("--set", "test.ratios=2"),
]
TRIAL_FILES = ["history.jsonl", "logits.safetensors", "trial.json", "weights.safetensors"]


def state(folder: Path) -> State:
    """Time of writing and content of every file that holds results."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".claim.lock"
    }


def only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    assert len(found) == 1, found
    return found[0]


def rows_of(folder: Path) -> list[str]:
    """Rows that a trial was evaluated on, by the names of their files."""
    return sorted(path.name.rpartition("-")[0] for path in (folder / "evaluations").glob("*.json"))


@pytest.fixture(scope="module")
def quick() -> list[str]:
    """Shorter than that of other files, and with fewer views."""
    short = ["--protocol", "digits-lt", "--set", "recipe.epochs=1", "--set", "views.pairs=1"]
    return [*short, "--set", "test.draws=2", "--set", "test.ratios=2,5"]


@pytest.fixture(scope="module")
def first(
    ltbench_shared: CommandLine, quick: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Results of the one large run; tests that change something copy them."""
    results = tmp_path_factory.mktemp("first") / "results"
    done = ltbench_shared("run", "--methods", METHODS, *quick, "--seeds", "2", "--results", results)
    assert done.returncode == 0, done.stdout + done.stderr
    (results.parent / "output").write_text(done.stdout)
    return results


@pytest.fixture
def copied(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "results")
    return tmp_path / "results"


# -- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["ltbench run --methods", "ltbench report", *COMMANDS]),
        (["run"], ["ltbench run --methods", "--dry-run", "--seeds", "'sade,sade+none"]),
        (["evaluate"], ["ltbench evaluate --methods", "--test-ratios", "--mode"]),
        (["report"], ["ltbench report --protocol", "--strict", "--output"]),
        (["list"], ["ltbench list methods", "--plugin"]),
        (["show"], ["ltbench show sade --protocol", "--plugin"]),
        (["status"], ["ltbench status --results"]),
        (["reproduce"], ["ltbench reproduce digits-lt", "--parts", "--dry-run", "--data-dir"]),
        (["data"], ["ltbench data prepare", "check", "where"]),
        (["data", "prepare"], ["--data-dir", "PROTOCOL"]),
        (["data", "check"], ["--data-dir", "PROTOCOL"]),
        (["data", "where"], ["--data-dir", "PROTOCOL"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) and len(value) < 3 else "",
)
def test_help_has_examples(words: list[str], expected: list[str], ltbench: CommandLine) -> None:
    done = ltbench(*words, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    for text in expected:
        assert text in done.stdout
    assert ltbench(*words, "-h").stdout == done.stdout if not words else True


def test_help_imports_nothing_slow(command: list[str], environment: dict[str, str]) -> None:
    """Seconds differ between machines, what is imported does not."""
    slow = {"torch", "torchvision", "numpy", "pandas", "matplotlib", "sklearn", "pyarrow", "rich"}
    names = ("run", "report", "list", "show", "status", "reproduce")
    for words in ([], ["data", "prepare"], *([name] for name in names)):
        done = subprocess.run(
            [command[0], "-X", "importtime", *command[1:], *words, "--help"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "click" in imported
        assert not imported & slow


def test_version_and_no_command(ltbench: CommandLine) -> None:
    from ltbench import __version__

    assert ltbench("--version").stdout.split()[-1] == __version__
    done = ltbench()
    assert done.returncode in (0, 2)
    assert "Usage: ltbench" in done.stdout + done.stderr


# -- list, show, data, status ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (
            "strategies",
            [
                *("bbse", "bcts-em", "bcts-mlls", "bn-adapt", "em", "entropy", "lsc", "mlls"),
                *("none", "oracle", "oracle-calibrated", "pseudo-label", "rlls", "stability"),
                *("tent", "tilt", "tilt-holdout"),
            ],
        ),
        (
            "protocols",
            [
                *("cifar10-lt", "cifar100-lt", "cifar100-lt-400", "cifar100-lt-400-strong"),
                *("cifar100-lt-frozen", "cifar100-lt-short", "cifar100-lt-strong"),
                *("digits-features", "digits-lt"),
                *("imagenet-lt", "imagenet-lt-frozen", "imagenet-lt-r10"),
                *("inat18-lt", "inat18-lt-frozen", "places-lt", "places-lt-frozen"),
            ],
        ),
    ],
)
def test_list(what: str, names: list[str], ltbench_here: CommandLine) -> None:
    done = ltbench_here("list", what)
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert listed == ["name", *names]
    assert "broken" not in done.stdout


def test_show_a_method_under_a_protocol(ltbench_here: CommandLine) -> None:
    done = ltbench_here("show", "sade", "--protocol", "cifar10-lt")
    assert done.returncode == 0
    assert "Self-supervised aggregation of diverse experts" in done.stdout
    values = {
        line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.split()
    }
    assert values["tau"][0] == "2"
    assert values["reduced"][:2] == ["False", "protocol"]
    assert values["lr"][0] == "0.05"
    assert values["epochs"][0] == "200"
    assert "departs" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ride --protocol cifar100-lt", "departs"),
        ("logit-adjustment --protocol digits-lt", "evaluated on the trial of ce"),
        ("sade[tau=1] --protocol digits-lt", "as asked"),
        ("sade", "sade: F50 65.9, U 49.8, B50 42.4 (SADE)"),
        ("ride", "obtained with 200 epochs; crop, flip, rotation 15; 3 experts of reduced width"),
        (
            "ce --protocol cifar100-lt-400",
            "epochs: 200 there, 400 here; augmentation: crop, flip there",
        ),
        (
            "ce --protocol cifar100-lt-strong",
            "crop, flip there, crop, flip, autoaugment, cutout here",
        ),
        ("sade[reduced=false] --protocol cifar100-lt", "3 experts of full width here"),
        ("ride --protocol digits-lt", "digits-lt is another data set: its numbers do not compare"),
        ("stability", "needs: views; experts: at least 2"),
        ("digits-lt --set recipe.epochs=7", "epochs = 7"),
        ("cifar100-lt", "10847 images, 500 to 5 a class"),
    ],
)
def test_show(words: str, expected: str, ltbench_here: CommandLine) -> None:
    done = ltbench_here("show", *words.split())
    assert done.returncode == 0
    assert expected in done.stdout


def test_data(ltbench_here: CommandLine) -> None:
    for verb in ("prepare", "check"):
        done = ltbench_here("data", verb, "digits-lt")
        assert done.returncode == 0
        assert "train   1,197 images of 8 x 8 pixels, 10 classes" in done.stdout
    assert "ready:   yes" in ltbench_here("data", "where", "digits-lt").stdout
    done = ltbench_here("data", "where", "cifar100-lt")
    assert done.returncode == 0
    assert "ready:   no" in done.stdout
    assert "https://" in done.stdout
    assert ltbench_here("data", "check", "cifar100-lt").returncode == 2


def test_status(first: Path, ltbench_here: CommandLine, tmp_path: Path) -> None:
    done = ltbench_here("status", "--results", first)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["digits-lt", "sade", "1", "finished", "3", "recipe.epochs=1;views.pairs=1"] in lines
    assert lines[-1] == ["8", "finished"]
    assert "no trials" in ltbench_here("status", "--results", tmp_path / "none").stdout
    assert not (tmp_path / "none").exists()


# -- run ------------------------------------------------------------------------------------------


def test_dry_run_plans_and_does_nothing(
    ltbench_here: CommandLine, quick: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    asked = ["run", "--methods", "ce,sade", *quick, "--seeds", "0,3", "--results", results]
    done = ltbench_here(*asked, "--dry-run")
    assert done.returncode == 0
    assert list(tmp_path.rglob("*")) == [tmp_path / "cwd"]  # the current folder, as it was
    assert "4 trials" in done.stdout
    rows = [line.split("│") for line in done.stdout.splitlines() if line.startswith("│")]
    planned = [(row[1].strip(), row[2].strip(), row[3].strip(), row[4].strip()) for row in rows]
    assert planned == [
        ("ce", "0", "ce, ce+oracle", "new"),
        ("sade", "0", "sade, sade+none, sade+oracle", "new"),
        ("ce", "3", "ce, ce+oracle", "new"),
        ("sade", "3", "sade, sade+none, sade+oracle", "new"),
    ]
    assert "to do: about" in done.stdout
    assert " MB" in done.stdout


def test_dry_run_without_the_images(ltbench_here: CommandLine, tmp_path: Path) -> None:
    done = ltbench_here("run", "--methods", "sade", "--protocol", "cifar100-lt", "--dry-run")
    assert done.returncode == 0
    assert "unknown" in done.stdout
    assert list((tmp_path / "cwd").iterdir()) == []


def test_files_of_a_trial(first: Path) -> None:
    assert sorted(path.name for path in first.iterdir()) == ["digits-lt"]
    names = sorted(path.name for path in (first / "digits-lt").iterdir())
    assert names == ["ce", "logit-adjustment", "ride", "sade"]
    for name in names:
        folders = sorted((first / "digits-lt" / name).iterdir())
        assert [folder.name.partition("-")[0] for folder in folders] == ["0", "1"]
        for folder in folders:
            record = json.loads((folder / "trial.json").read_text())
            assert folder.name == f"{record['seed']}-{record['trial']}"
            assert record["training"]["name"] == name
            assert record["preemptions"] == 0
            assert record["recipe"]["epochs"] == 1
            visible = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
            assert sorted(visible) == ["evaluations", *TRIAL_FILES]
            history = (folder / "history.jsonl").read_text().splitlines()
            assert [json.loads(line)["epoch"] for line in history] == [1]


def test_logits_on_disk(first: Path) -> None:
    from safetensors.numpy import load_file

    for name, experts in (("ce", 1), ("ride", 3), ("sade", 3)):
        logits = load_file(only(first, f"digits-lt/{name}/0-*") / "logits.safetensors")["logits"]
        assert logits.shape == (600, experts, 10)
        assert logits.dtype == "float32"


def test_rows_of_each_trial(first: Path) -> None:
    """Post-hoc logit adjustment stands on the trial of ce; its other form trains."""
    expected = {
        "ce": ["ce+none", "ce+oracle", "logit-adjustment+none"],
        "logit-adjustment": ["logit-adjustment+none", "logit-adjustment+oracle"],
        "ride": ["ride+none"],
        "sade": ["sade+none", "sade+oracle", "sade+stability"],
    }
    for name, rows in expected.items():
        for folder in (first / "digits-lt" / name).iterdir():
            assert rows_of(folder) == rows


def test_what_an_evaluation_holds(first: Path) -> None:
    path = only(first, "digits-lt/sade/0-*/evaluations/sade+stability-*.json")
    record = json.loads(path.read_text())
    assert record["label"] == "sade"
    assert (record["method"], record["strategy"]) == ("sade", "stability")
    assert not record["uses_true_prior"]
    names = ["forward5", "forward2", "uniform", "backward2", "backward5"]
    assert list(record["distributions"]) == [*names, "many-only", "medium-only", "few-only"]
    for name, found in record["distributions"].items():
        drawn = 2 if name.startswith(("forward", "backward")) else 1
        assert list(found["draws"]) == [str(draw) for draw in range(drawn)]
        for draw in found["draws"].values():
            assert 0 <= draw["top1"] <= 100
            assert sum(draw["expert_weights"]) == pytest.approx(1, abs=1e-5)
            assert len(draw["expert_top1"]) == 3
    uniform = record["distributions"]["uniform"]["draws"]["0"]
    assert len(uniform["per_class"]) == 10
    assert len(uniform["experts"]) == 3
    assert len(uniform["agreement"]["experts"]) == 3


def test_post_hoc_equals_arithmetic_on_the_logits_of_ce(first: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file

    folder = only(first, "digits-lt/ce/0-*")
    logits = load_file(folder / "logits.safetensors")["logits"][:, 0]
    counts = np.array(json.loads((folder / "trial.json").read_text())["data"]["train_counts"])
    labels = np.repeat(np.arange(10), 60)
    predicted = (logits - np.log(counts / counts.sum())).argmax(1)
    record = json.loads(only(folder, "evaluations/logit-adjustment+none-*.json").read_text())
    top1 = record["distributions"]["uniform"]["draws"]["0"]["top1"]
    assert top1 == pytest.approx(100 * (predicted == labels).mean())


def test_every_method_has_its_first_seed_before_any_second(first: Path) -> None:
    output = (first.parent / "output").read_text()
    rows = [line.split("│") for line in output.splitlines() if line.startswith("│")]
    assert [row[2].strip() for row in rows] == ["0"] * 4 + ["1"] * 4
    created = {
        seed: [
            json.loads((path / "trial.json").read_text())["created"]
            for path in first.glob(f"digits-lt/*/{seed}-*")
        ]
        for seed in (0, 1)
    }
    assert sorted(created[0])[2] <= min(created[1])  # two trials may run side by side


def test_the_same_command_again_does_nothing(
    first: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    before = state(first)
    done = ltbench_here("run", "--methods", METHODS, *quick, "--seeds", "2", "--results", first)
    assert done.returncode == 0
    assert "trained" not in done.stdout
    assert " uniform " not in done.stdout  # no row was evaluated
    assert "8 of 8 trials done" in done.stdout
    assert state(first) == before


def test_a_list_of_seeds_and_the_order_of_trials(ltbench_here: CommandLine, tmp_path: Path) -> None:
    results = tmp_path / "results"
    asked = ["run", "--methods", "ce,balanced-softmax", *SHORT, "--seeds", "3,0", "--jobs", "1"]
    done = ltbench_here(*asked, "--results", results)
    assert done.returncode == 0
    ended = [line.partition(":")[0] for line in done.stdout.splitlines() if ": done (" in line]
    wanted = ["ce seed 3", "balanced-softmax seed 3", "ce seed 0", "balanced-softmax seed 0"]
    assert ended == wanted
    assert sorted(p.name[:2] for p in (results / "digits-lt" / "ce").iterdir()) == ["0-", "3-"]


def test_quiet_says_nothing(first: Path, ltbench_here: CommandLine, quick: list[str]) -> None:
    done = ltbench_here("run", "--methods", "ce", *quick, "--quiet", "--results", first)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- evaluate -------------------------------------------------------------------------------------


def test_evaluate_adds_without_training(
    copied: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    before = state(copied)
    old = json.loads(only(copied, "digits-lt/sade/0-*/evaluations/sade+none-*.json").read_text())
    methods = ["--methods", "sade+none,sade+stability[epochs=1]", "--test-ratios", "2,5,10"]
    asked = ["evaluate", *methods, *quick[:-2], "--results", copied]
    done = ltbench_here(*asked)
    assert done.returncode == 0, done.stdout
    assert "trained" not in done.stdout
    folder = only(copied, "digits-lt/sade/0-*")
    assert rows_of(folder) == ["sade+none", "sade+oracle", "sade+stability", "sade+stability"]
    after = state(copied)
    changed = {name for name in after if before.get(name) != after[name]}
    assert changed == {
        str(path.relative_to(copied))
        for path in (folder / "evaluations").iterdir()
        if str(path.relative_to(copied)) not in before
        or path.name.startswith(("sade+none", "sade+oracle"))
    }
    new = json.loads(only(folder, "evaluations/sade+none-*.json").read_text())
    assert set(new["distributions"]) == {*old["distributions"], "forward10", "backward10"}
    for name, found in old["distributions"].items():
        assert new["distributions"][name] == found
    assert ltbench_here(*asked).returncode == 0
    assert state(copied) == after


def test_evaluate_computes_no_known_distribution_again(
    copied: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    """Known numbers are taken from the record: a mark put there survives."""
    path = only(copied, "digits-lt/ce/0-*/evaluations/ce+none-*.json")
    record = read_checked(path)
    record["distributions"]["forward5"]["draws"]["1"]["top1"] = 12.25
    path.write_text(json.dumps(record))
    asked = [
        "evaluate",
        "--methods",
        "ce",
        *(word.replace("draws=2", "draws=3") for word in quick),
        "--results",
        copied,
    ]
    assert ltbench_here(*asked).returncode == 0
    draws = json.loads(path.read_text())["distributions"]["forward5"]["draws"]
    assert list(draws) == ["0", "1", "2"]
    assert draws["1"]["top1"] == 12.25


def test_evaluate_an_untrained_trial(
    ltbench_here: CommandLine, quick: list[str], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    done = ltbench_here("evaluate", "--methods", "ce", *quick, "--results", results)
    assert done.returncode == 2
    assert "ce with seed 0 is not trained yet (new); `ltbench run` trains it" in done.stderr
    assert not list(results.iterdir())
    done = ltbench_here("report", "--results", results)
    assert done.returncode == 2
    assert "no readable evaluation" in done.stderr


def test_augmented_mode_is_kept_apart(
    copied: Path, ltbench_here: CommandLine, quick: list[str]
) -> None:
    """digits-lt augments nothing, so the recipe is given a crop; uniform stays clean."""
    crop = [*quick, "--set", "recipe.crop_padding=1"]
    for verb, mode in (("run", "clean"), ("evaluate", "augmented")):
        done = ltbench_here(verb, "--methods", "ce", *crop, "--mode", mode, "--results", copied)
        assert done.returncode == 0
    frame = load_results(copied)
    frame = frame[frame.variant.str.contains("crop_padding") & (frame.label == "ce")]
    table = frame.pivot(index="distribution", columns="mode", values="top1")
    assert table.augmented["uniform"] == table.clean["uniform"]
    assert (table.augmented != table.clean)[["forward5", "backward5"]].any()


# -- report and load_results ----------------------------------------------------------------------


def test_report_writes_tables_and_figures(
    first: Path, ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No PDF, whose fonts take most of the time; other tests shall not find these.
    monkeypatch.setattr(picture, "KINDS", ("png",))
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    before = state(first)
    asked = ["report", "--output", tmp_path / "report", "--results"]
    done = ltbench_here(*asked, first, "--no-figures")
    assert done.returncode == 0, done.stderr
    for text in ("Top-1 accuracy", "sade+none", "logit-adjustment[where=loss]", "knows the true"):
        assert text in done.stdout
    section = only(tmp_path / "report", "digits-lt*")
    for table in ("main", "groups", "experts-groups", "partial", "expert-weights"):
        for kind in ("tex", "md", "csv"):
            assert (section / "tables" / f"{table}.{kind}").stat().st_size > 0
    main = (section / "tables" / "main.csv").read_text()
    assert "sade" in main
    assert state(first) == before
    # Figures of one trial: every row is drawn.
    one = only(first, "digits-lt/sade/0-*")
    shutil.copytree(one, tmp_path / "one" / one.relative_to(first))
    assert ltbench_here(*asked, tmp_path / "one").returncode == 0
    for figure in ("accuracy-over-shift", "accuracy-per-class", "expert-weights"):
        assert (section / "figures" / f"{figure}.png").read_bytes()[1:4] == b"PNG"


def test_report_goes_below_the_results_by_default(copied: Path, ltbench_here: CommandLine) -> None:
    done = ltbench_here("report", "--results", copied, "--no-figures")
    assert done.returncode == 0
    assert (copied / "report" / "index.md").is_file()
    assert not list((copied / "report").rglob("*.png"))
    again = ltbench_here("report", "--results", copied, "--no-figures", "--strict")
    assert again.returncode == 0  # a report is no result
    done = ltbench_here("report", "--results", copied, "--protocol", "digit-lt")
    assert done.returncode == 2
    assert "did you mean 'digits-lt'?" in done.stderr


def test_load_results(first: Path) -> None:
    frame = load_results(first)
    wanted = ["protocol", "variant", "method", "method_params", "strategy", "strategy_params"]
    wanted += ["seed", "distribution", "top1", "n_draws", "trial"]
    assert set(wanted) <= set(frame.columns)
    assert not frame.duplicated(wanted[:8]).any()
    assert set(frame.protocol) == {"digits-lt"}
    assert set(frame.variant) == {"recipe.epochs=1;views.pairs=1"}
    assert set(frame.seed) == {0, 1}
    rows = set(zip(frame.method, frame.method_params, frame.strategy, strict=True))
    assert rows == {
        ("ce", "", "none"),
        ("ce", "", "oracle"),
        ("logit-adjustment", "", "none"),
        ("logit-adjustment", "where=loss", "none"),
        ("logit-adjustment", "where=loss", "oracle"),
        ("ride", "", "none"),
        ("sade", "", "none"),
        ("sade", "", "oracle"),
        ("sade", "", "stability"),
    }
    assert frame.top1.between(0, 100).all()
    shifted = frame.distribution.str.match("forward|backward")
    assert set(frame[shifted].n_draws) == {2}
    assert set(frame[~shifted].n_draws) == {1}
    everything = load_results(first, draws="all")
    assert len(everything) == shifted.sum() * 2 + (~shifted).sum()


# -- plugins --------------------------------------------------------------------------------------

PLUGIN = '''"""PolyLoss: a method of one's own in 25 lines."""
from dataclasses import dataclass

from torch.nn import functional as F

from ltbench import Hyper, Method


@dataclass(frozen=True)
class PolyHyper(Hyper):
    epsilon: float = 1.0


class Poly(Method[PolyHyper]):
    """L = -log p_y + epsilon (1 - p_y)."""

    name = "poly"
    title = "PolyLoss"
    hyper_type = PolyHyper

    def loss(self, logits, targets, *, progress, rng=None):
        log_p = F.log_softmax(logits[:, 0], 1).gather(1, targets[:, None])
        return (self.hyper.epsilon * (1 - log_p.exp()) - log_p).mean()
'''


def test_a_method_of_ones_own(
    ltbench: CommandLine, ltbench_here: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lines are cut there, and how long the path is nobody knows.
    monkeypatch.setenv("COLUMNS", "400")
    here = tmp_path / "cwd"
    plugin, results = here / "poly.py", tmp_path / "results"
    plugin.write_text(PLUGIN)
    assert len(PLUGIN.splitlines()) <= 25
    listed = ltbench_here("list", "methods", "--plugin", plugin)
    assert listed.returncode == 0
    assert str(plugin) in next(line for line in listed.stdout.splitlines() if "poly" in line)
    shown = ltbench_here("show", "poly", "--plugin", plugin, "--protocol", "digits-lt")
    assert shown.returncode == 0
    assert "epsilon" in shown.stdout
    asked = ["--methods", "poly,poly[epsilon=2]", "--plugin", "poly.py", "--results", results]
    done = ltbench_here("run", *asked, *SHORT)
    assert done.returncode == 0, done.stdout
    frame = load_results(results)
    rows = set(zip(frame.method, frame.method_params, frame.strategy, strict=True))
    assert rows == {("poly", "", "none"), ("poly", "epsilon=2", "none")}
    done = ltbench_here(
        "report", "--results", results, "--no-figures"
    )  # knows nothing of the plugin
    assert done.returncode == 0
    assert "poly[epsilon=2]" in done.stdout
    plugin.write_text(PLUGIN.replace("- log_p.exp()", "- 0.5 * log_p.exp()"))
    # A process: this one has imported the file as it was.
    plan = ltbench("run", *asked, *SHORT, "--dry-run", cwd=here)
    states = [line for line in plan.stdout.splitlines() if "poly" in line]
    assert len(states) == 2, plan.stdout
    assert not any("finished" in line for line in states)  # other code is another trial


# -- Python ---------------------------------------------------------------------------------------

SCRIPT = """
import sys
import ltbench
import pytest
from tests.in_process import without_workers

without_workers(pytest.MonkeyPatch())
small = dict(recipe={"epochs": 1}, test={"draws": 1, "ratios": [2]})
for time in range(2):
    assert "sade" in ltbench.list_methods()
    assert "stability" in ltbench.list_strategies()
    assert "digits-lt" in ltbench.list_protocols()
    assert ltbench.get_method("sade", [5, 3, 2], tau=1).hyper.tau == 1
    assert ltbench.get_strategy("stability", epochs=2).hyper.epochs == 2
    protocol = ltbench.load_protocol("digits-lt", **small)
    assert (protocol.recipe.epochs, protocol.test.ratios) == (1, (2.0,))
    assert protocol.variant == "recipe.epochs=1"
    outcome = ltbench.run("ce", "digits-lt", results=sys.argv[1], **small)
    assert (len(outcome.finished), outcome.failures, outcome.exit_code) == (1, [], 0)
    outcome = ltbench.run(["ce+oracle"], "digits-lt", seeds=[0], results=sys.argv[1], **small)
    assert outcome.exit_code == 0
    frame = ltbench.load_results(sys.argv[1])
    assert set(frame.strategy) == {"none", "oracle"}
    try:
        ltbench.run("nosuch", "digits-lt", results=sys.argv[1])
    except ValueError as error:
        assert "unknown method 'nosuch'" in str(error)
    else:
        raise AssertionError("nosuch was accepted")
for name in ltbench.__all__:
    assert getattr(ltbench, name) is getattr(ltbench, name)
"""


def test_the_python_names_twice_in_one_process(environment: dict[str, str], tmp_path: Path) -> None:
    with started(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "results")],
        env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == ""
    assert len(list((tmp_path / "results").glob("digits-lt/*/*/trial.json"))) == 1
