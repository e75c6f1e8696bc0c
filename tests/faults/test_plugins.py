"""F11 to F16: a bad plugin costs its own trial, says why in one line, and nothing else.

These are faults that the contract tests before a run cannot see: they show on real batches only.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench import load_results
from tests.zygote import started

CommandLine = Callable[..., CompletedProcess[str]]

SMALL = ["--set", "train.max_count=30", "--set", "train.imbalance=30"]  # three steps an epoch

PLUGINS = '''
import os, pathlib
import torch
from torch.nn import functional as F
from ltbench import Architecture, Method, Strategy
from ltbench.strategy import Adapted


class Base(Method):
    """Cross-entropy, until a subclass breaks something, in training or on the test images."""

    def loss(self, logits, targets, *, progress, rng=None):
        fine = F.cross_entropy(logits[:, 0], targets)
        return self.broken(fine, logits, targets, progress) if len(targets) > 15 else fine

    def broken(self, fine, logits, targets, progress):
        return fine

    def predict(self, logits):
        return self.scores(logits) if len(logits) > 100 else logits.mean(1)

    def scores(self, logits):
        return logits.mean(1)


class FirstStep(Base):
    name = title = "first-step"

    def broken(self, fine, logits, targets, progress):
        if pathlib.Path(os.environ["MENDED"]).exists():
            return fine
        raise ZeroDivisionError("no luck today\\nand a second line")


class LaterEpoch(Base):
    name = title = "later-epoch"

    def broken(self, fine, logits, targets, progress):
        if progress >= 0.5:
            raise RuntimeError("half way")
        return fine


class Exits(Base):
    name = title = "exits"

    def broken(self, fine, logits, targets, progress):
        print("last words", flush=True)
        os._exit(7)


class VectorLoss(Base):
    name = title = "vector-loss"

    def broken(self, fine, logits, targets, progress):
        return F.cross_entropy(logits[:, 0], targets, reduction="none")


class FloatLoss(Base):
    name = title = "float-loss"

    def broken(self, fine, logits, targets, progress):
        return 1.5


class IntegerLoss(Base):
    name = title = "integer-loss"

    def broken(self, fine, logits, targets, progress):
        return logits.argmax(-1).sum()


class Detached(Base):
    name = title = "detached"

    def broken(self, fine, logits, targets, progress):
        return fine.detach()


class NanLoss(Base):
    name = title = "nan-loss"

    def broken(self, fine, logits, targets, progress):
        return fine * float("nan")


class Diverges(Base):
    name = title = "diverges"

    def broken(self, fine, logits, targets, progress):
        return fine * float("inf") if progress >= 0.5 else fine


class LastStep(Base):
    """Only the slope of the very last step is not finite."""

    name = title = "last-step"

    def broken(self, fine, logits, targets, progress):
        if progress < 0.5 or len(targets) == 32:
            return fine
        return fine + (logits * 0).abs().sqrt().sum()


class WrongPrediction(Base):
    name = title = "wrong-prediction"

    def scores(self, logits):
        return logits


class NanPrediction(Base):
    name = title = "nan-prediction"

    def scores(self, logits):
        return logits.mean(1) * float("nan")


class RaisesInPredict(Base):
    name = title = "raises-in-predict"

    def scores(self, logits):
        raise KeyError("predict")


class WrongBias(Base):
    name = title = "wrong-bias"

    def bias(self):
        return torch.zeros(3, 4) if self.counts.sum() == 90 else None


class Backwards(Strategy):
    """A strategy that returns one row too few."""

    name = title = "backwards"

    def adapt(self, test, source, rng):
        scores = source.method.predict(test.logits)
        return Adapted(logits=scores[1:] if len(scores) > 40 else scores)


class Peeks(Strategy):
    """A strategy that wants what it has not declared."""

    name = title = "peeks"

    def adapt(self, test, source, rng):
        prior = test.true_prior if len(test.logits) > 40 else 0
        return Adapted(logits=source.method.predict(test.logits) + prior)
'''

BAD = [
    "first-step",
    "later-epoch",
    "exits",
    "vector-loss",
    "float-loss",
    "integer-loss",
    "detached",
    "nan-loss",
    "diverges",
    "last-step",
    "wrong-prediction",
    "nan-prediction",
    "raises-in-predict",
    "wrong-bias",
    "ce+backwards",
    "ce+peeks",
]

SCALAR = r"expected a scalar float tensor \(\) that depends on the logits$"
SCORES = r"expected \(\d+, 10\) of a float type$"
LINES = {
    "first-step": r"ZeroDivisionError: no luck today$",
    "later-epoch": r"RuntimeError: half way$",
    "exits": r"the worker process ended with code 7 \(a crash, or killed from outside\)$",
    "vector-loss": r"method 'vector-loss': loss returned shape \(32,\), torch\.float32.*; "
    + SCALAR,
    "float-loss": r"method 'float-loss': loss returned float; " + SCALAR,
    "integer-loss": r"method 'integer-loss': loss returned shape \(\), torch\.int64.*; " + SCALAR,
    "detached": r"method 'detached': loss returned .*requires_grad=False; " + SCALAR,
    "nan-loss": r"method 'nan-loss': loss is nan in epoch 1, step 1, learning rate [\d.]+ "
    r"\(last good epoch: none\); expected a finite number$",
    "diverges": r"method 'diverges': loss is inf in epoch 2, step 1, learning rate [\d.]+ "
    r"\(last good epoch: epoch 1\); expected a finite number$",
    "last-step": r"method 'last-step': a weight is nan after the step in epoch 2, step 3, learning "
    r"rate [\d.]+ \(last good epoch: epoch 1\); expected a finite number$",
    "wrong-prediction": r"method 'wrong-prediction' returned scores \(\d+, 1, 10\) .*; " + SCORES,
    "nan-prediction": r"method 'nan-prediction' returned scores that are NaN or infinite; "
    r"expected finite numbers$",
    "raises-in-predict": r"KeyError: 'predict'$",
    "wrong-bias": r"method 'wrong-bias': bias returned shape \(3, 4\); expected \(1, 10\)$",
}


@pytest.fixture(scope="module")
def bad(
    ltbench: CommandLine, quick: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CompletedProcess[str]]:
    """One run of all bad methods, with a good one before and one behind them."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "bad.py").write_text(PLUGINS)
    methods = ",".join(["balanced-softmax", *BAD, "focal"])
    asked = [
        "run",
        "--methods",
        methods,
        *quick,
        *SMALL,
        "--plugin",
        folder / "bad.py",
        "--jobs",
        "1",
    ]
    env = {"MENDED": str(folder / "mended"), "LTBENCH_CHECKPOINT_SECONDS": "0"}
    return folder, ltbench(*asked, "--results", folder / "results", env=env)


@pytest.fixture
def copied(bad: tuple[Path, CompletedProcess[str]], tmp_path: Path) -> Path:
    shutil.copytree(bad[0] / "results", tmp_path / "results")
    return tmp_path / "results"


def folder_of(results: Path, name: str) -> Path:
    (found,) = (results / "digits-lt" / name).iterdir()
    return found


def failure_lines(done: CompletedProcess[str]) -> dict[str, str]:
    found = re.findall(r"^failed: (\S+) seed 0: (.*)$", done.stdout, re.MULTILINE)
    return dict(found)


def test_f12_the_others_run(bad: tuple[Path, CompletedProcess[str]]) -> None:
    folder, done = bad
    assert done.returncode == 1
    frame = load_results(folder / "results")
    labels = set(frame.label)
    assert {"balanced-softmax", "balanced-softmax+oracle", "focal", "focal+oracle"} <= labels
    assert {"ce", "ce+oracle"} <= labels  # rows beside a bad strategy


@pytest.mark.parametrize("name", LINES)
def test_f12_one_clear_line(name: str, bad: tuple[Path, CompletedProcess[str]]) -> None:
    folder, done = bad
    line = failure_lines(done)[name]
    assert re.search(LINES[name], line), line
    log = folder_of(folder / "results", name) / "failure.log"
    assert f"        log: {log}" in done.stdout
    if name == "exits":
        assert "last words" in log.read_text()
    else:
        assert "Traceback" in log.read_text()
        assert line.rpartition(";")[0][:40] in log.read_text()


def test_f14_bad_strategies_name_themselves(bad: tuple[Path, CompletedProcess[str]]) -> None:
    folder, done = bad
    line = failure_lines(done)["ce"]
    wanted = r"ce\+backwards: strategy 'backwards' with method 'ce' returned scores"
    scores = SCORES.removesuffix("$")
    assert re.search("^" + wanted + r" \(\d+, 10\) torch\.float32; " + scores, line), line
    assert "; ce+peeks: this strategy asked for the true prior without declaring" in line
    records = (folder_of(folder / "results", "ce") / "evaluations").glob("*.json")
    assert sorted(path.name.rpartition("-")[0] for path in records) == ["ce+none", "ce+oracle"]


DIVERGES = ("nan-loss", "diverges", "last-step")
TRAINING_FAILS = [*BAD[:10]]


@pytest.mark.parametrize("name", TRAINING_FAILS)
def test_f12_records_of_failed_trainings(
    name: str, bad: tuple[Path, CompletedProcess[str]]
) -> None:
    folder = folder_of(bad[0] / "results", name)
    record = json.loads((folder / "failed.json").read_text())
    assert record["status"] == ("diverged" if name in DIVERGES else "failed")
    assert re.search(LINES[name], record["error"])
    assert record["training"]["name"] == name
    assert record["seed"] == 0
    assert record["log"] == "failure.log"
    assert not (folder / "trial.json").exists()
    assert not (folder / "logits.safetensors").exists()


@pytest.mark.parametrize("name", ["wrong-prediction", "nan-prediction", "wrong-bias"])
def test_f14_a_bad_prediction_leaves_the_training(
    name: str, bad: tuple[Path, CompletedProcess[str]]
) -> None:
    """The training is sound and kept; not a single row is scored."""
    folder = folder_of(bad[0] / "results", name)
    assert (folder / "trial.json").exists()
    assert not (folder / "failed.json").exists()
    assert not list(folder.glob("evaluations/*.json"))


def test_f16_status_and_report_tell(copied: Path, ltbench_here: CommandLine) -> None:
    done = ltbench_here("status", "--results", copied)
    assert done.returncode == 0
    states = {line.split()[1]: line.split()[3] for line in done.stdout.splitlines()[1:-1]}
    assert states["diverges"] == states["nan-loss"] == states["last-step"] == "diverged"
    assert states["exits"] == states["first-step"] == "failed"
    assert states["focal"] == "finished"
    done = ltbench_here("report", "--results", copied, "--no-figures")
    assert done.returncode == 0
    text = done.stdout + "".join(path.read_text() for path in (copied / "report").rglob("*.md"))
    assert re.search(r"diverges.*diverged", text)
    assert re.search(r"first-step.*failed|failed.*first-step", text)
    (table,) = (copied / "report").glob("*/tables/main.csv")
    assert not re.search(r"\b(nan|inf)\b", table.read_text().replace("nan-loss", ""))


def test_f12_the_next_run_retries_only_what_failed(
    copied: Path,
    bad: tuple[Path, CompletedProcess[str]],
    ltbench: CommandLine,
    quick: list[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "mended").touch()
    asked = ["run", "--methods", "first-step,exits,focal", *quick, *SMALL, "--jobs", "1"]
    asked += ["--plugin", bad[0] / "bad.py", "--results", copied]
    done = ltbench(*asked, env={"MENDED": str(tmp_path / "mended")})
    assert done.returncode == 1
    assert list(failure_lines(done)) == ["exits"]
    assert re.findall(r"^(\S+) seed 0: trained", done.stdout, re.MULTILINE) == ["first-step"]
    folder = folder_of(copied, "first-step")
    assert (folder / "trial.json").exists()
    assert not (folder / "failed.json").exists()
    assert not (folder / "failure.log").exists()
    assert "first-step" in set(load_results(copied).label)


# -- plugins that cannot be found, imported or told apart ------------------------------------------


def install(folder: Path, name: str, code: str, entries: str) -> None:
    """A package as an installer leaves it: a module and its metadata with entry points."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entries)


GOOD = """
from torch.nn import functional as F
from ltbench import Method, Strategy

class Mine(Method):
    name, title = "NAME", "a third party's"
    def loss(self, logits, targets, *, progress, rng=None):
        return F.cross_entropy(logits[:, 0], targets)
"""


@pytest.fixture
def with_packages(tmp_path: Path) -> Path:
    """A folder with third-party packages that are installed in it."""
    site = tmp_path / "site"
    site.mkdir()
    install(
        site,
        "broken_package",
        "raise ImportError('libfoo.so is missing\\nsecond line')\n",
        "[ltbench.methods]\nbroken-method = broken_package\n"
        "[ltbench.strategies]\nbroken-strategy = broken_package\n"
        "[ltbench.protocols]\nbroken-protocol = broken_package\n",
    )
    install(
        site,
        "good_package",
        GOOD.replace("NAME", "third-party"),
        "[ltbench.methods]\nthird-party = good_package:Mine\n",
    )
    install(
        site,
        "clashing_package",
        GOOD.replace("NAME", "sade"),
        "[ltbench.methods]\nsade = clashing_package:Mine\n",
    )
    install(
        site,
        "odd_package",
        GOOD.replace("NAME", "../evil") + "no_class = 3\n",
        "[ltbench.methods]\nevil = odd_package:Mine\nodd = odd_package:no_class\n"
        "absent = odd_package:Absent\n",
    )
    return site


MANY = """
import contextlib, io, json, sys
from ltbench.cli import main
sys.path.insert(0, sys.argv[1])
for words in json.loads(sys.argv[2]):
    error, output = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(output):
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, output.getvalue(), error.getvalue()]))
"""


def test_f11_installed_packages(
    with_packages: Path, environment: dict[str, str], quick: list[str], tmp_path: Path
) -> None:
    """F11 and F15 through entry points: listed with the reason, refused by name, others run."""
    clash = "two methods are called 'sade': ltbench.methods.train.sade and clashing_package 1.2"
    refused = {
        "broken-method": r"method 'broken-method' is broken: ImportError: libfoo\.so is missing",
        "sade": re.escape(clash),
        "ce+broken-strategy": r"strategy 'broken-strategy' is broken: ImportError",
        "evil": r"method 'evil' is broken: .*'\.\./evil' is not usable",
        "../evil": r"unknown method '\.\./evil'",
    }
    calls = [["run", "--methods", method, *quick, "--results", "none"] for method in refused]
    calls += [["list", "methods"], ["list", "protocols"]]
    calls += [["run", "--methods", "third-party", *quick, "--results", "results"]]
    with started(
        [sys.executable, "-c", MANY, str(with_packages), json.dumps(calls)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        answers = [json.loads(line) for line in process.communicate(timeout=240)[0].splitlines()]
    assert process.returncode == 0
    *refusals, methods, protocols, trained = answers
    for (code, _, error), expected in zip(refusals, refused.values(), strict=True):
        assert code == 2
        assert re.search(expected, error), error
        assert len(error.splitlines()) == 1
    assert not [path for path in (tmp_path / "none").rglob("*") if path.is_file()]

    assert methods[0] == protocols[0] == 0
    lines = {line.split()[0]: line for line in methods[1].splitlines() if line.strip()}
    assert "broken: ImportError: libfoo.so is missing" in lines["broken-method"]
    assert "broken_package 1.2" in lines["broken-method"]
    assert "a third party's" in lines["third-party"]
    assert "broken: method name from" in lines["evil"]
    assert "is not usable" in " ".join(methods[1].split())
    assert "broken: " in lines["odd"]
    assert "broken: AttributeError" in lines["absent"]
    assert clash in " ".join(methods[1].split())
    assert "broken: ImportError: libfoo.so" in protocols[1]
    assert "digits-lt" in protocols[1]

    assert trained[0] == 0
    record = json.loads((folder_of(tmp_path / "results", "third-party") / "trial.json").read_text())
    assert record["training"]["origin"] == "good_package 1.2 (good_package:Mine)"


def test_f15_a_name_from_two_files(ltbench_here: CommandLine, tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(GOOD.replace("NAME", "twice"))
    files = ["--plugin", tmp_path / "one.py", "--plugin", tmp_path / "two.py"]
    done = ltbench_here("run", "--methods", "ce", "--protocol", "digits-lt", *files)
    assert done.returncode == 2
    assert re.search(r"two methods are called 'twice': .*one\.py and .*two\.py", done.stderr)


def test_a_protocol_plugin(ltbench_here: CommandLine, tmp_path: Path) -> None:
    mine = tmp_path / "my_digits.toml"
    mine.write_text("extends = 'digits-lt'\nname = 'my-digits'\n[recipe]\nepochs = 3\n")
    done = ltbench_here("list", "protocols", "--plugin", mine)
    assert "my-digits" in done.stdout
    run = ["run", "--methods", "ce", "--protocol", "my-digits", "--plugin", mine, "--dry-run"]
    assert "my-digits 1.0: 1 trials" in ltbench_here(*run).stdout
    other = tmp_path / "digits_lt.toml"
    other.write_text(mine.read_text())
    done = ltbench_here("list", "protocols", "--plugin", other)
    assert done.returncode == 2
    assert "two protocols are called 'digits-lt'" in done.stderr
