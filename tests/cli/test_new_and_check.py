"""``ltbench new`` and ``check``: what is written works, and its own tests pass."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from xml.etree import ElementTree

import pytest

from ltbench import load_results
from ltbench.cli import main
from ltbench.errors import InputError
from ltbench.protocol.registry import find_protocols
from ltbench.registry import load_registries
from ltbench.scaffold.write import METHOD_KINDS
from tests.zygote import started

CommandLine = Callable[..., CompletedProcess[str]]


# Trials in the process of the tests: what is shown is that they pass, not how trials are started.
CONFTEST = """
import pytest
from tests.in_process import without_workers

@pytest.fixture(autouse=True)
def here(monkeypatch):
    without_workers(monkeypatch)
"""
KINDS = {
    "method": ".py",
    "strategy": ".py",
    "protocol": ".toml",
    "source": ".py",
    "backbone": ".py",
}
TRAINED = [kind for kind in METHOD_KINDS if kind != "plain"]


def new(kind: str, name: str, folder: Path, *more: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["new", kind, name, "--output", str(folder), *more])
    assert ended.value.code == 0


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each kind, and one for each that its author has changed; of names that differ, as modules
    of one process must."""
    root = tmp_path_factory.mktemp("written")
    (root / "conftest.py").write_text(CONFTEST)
    for kind in KINDS:
        new(kind, f"my-{kind}", root / "deep" / kind)
    for kind in TRAINED:
        new("method", f"my-{kind}", root / "deep" / kind, "--kind", kind)
    for kind, changes in CHANGES.items():
        new(kind, f"other-{kind}", root / "changed" / kind)
        file = root / "changed" / kind / f"other_{kind}{KINDS[kind]}"
        text = file.read_text()
        for old, changed in changes:
            assert old in text
            text = text.replace(old, changed)
        file.write_text(text)
    return root


@pytest.fixture(scope="module")
def tested(
    written: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What pytest said of each test, by its file: empty where it passed. One fork for all files."""
    folder = tmp_path_factory.mktemp("tested")
    words = ["-q", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp")]
    with started(
        [sys.executable, "-m", "pytest", *words, "--junitxml", str(folder / "told.xml"), str(written)],
        cwd=written, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        out, _ = process.communicate()
    assert process.returncode in (0, 1), out
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(folder / "told.xml").iter("testcase"):
        told = "".join(f"{child.tag}: {child.text}" for child in case)
        found.setdefault(case.attrib["classname"], {})[case.attrib["name"]] = told
    return found


def assert_passed(tested: dict[str, dict[str, str]], file: str, own: int = 1) -> None:
    """The contract and its own tests: all were run, none was skipped."""
    names = [name for name in tested[file] if not name.startswith("test_contract[")]
    assert len(names) == own
    assert len(tested[file]) > own
    assert "".join(tested[file].values()) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_what_new_writes_keeps_the_contract_and_passes_its_test(
    ltbench_here: CommandLine, written: Path, tested: dict[str, dict[str, str]], kind: str
) -> None:
    folder, file = written / "deep" / kind, f"my_{kind}{KINDS[kind]}"
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    assert names == sorted([file, f"test_my_{kind}.py"])
    checked = ltbench_here("check", folder / file)
    assert checked.returncode == 0, checked.stdout
    assert "MISSING" not in checked.stdout
    assert checked.stdout.count("\n  ok ") >= 7
    assert_passed(tested, f"deep.{kind}.test_my_{kind}")
    again = ltbench_here("new", kind, f"my-{kind}", "--output", folder)
    assert again.returncode == 2
    assert "exists; choose another name" in again.stderr


@pytest.mark.parametrize("kind", TRAINED)
def test_each_kind_of_method_keeps_the_contract_and_passes_its_test(
    written: Path, tested: dict[str, dict[str, str]], kind: str
) -> None:
    """Its own test makes the checks of the contract, and trains it."""
    module = f"my_{kind}".replace("-", "_")
    file = written / "deep" / kind / f"{module}.py"
    found = load_registries([str(file)]).methods.get(f"my-{kind}").cls
    assert found.family == kind
    text = "".join(path.read_text() for path in file.parent.glob("*.py"))
    assert "@" not in text.replace("@dataclass", "").replace("@pytest", "").replace(" @ ", "")
    assert_passed(tested, f"deep.{kind}.test_{module}")


def test_kinds_are_those_of_methods(ltbench_here: CommandLine, tmp_path: Path) -> None:
    done = ltbench_here("new", "strategy", "my-x", "--kind", "mixing", "--output", tmp_path)
    assert done.returncode == 2
    assert "--kind is for methods, not for a strategy" in done.stderr
    done = ltbench_here("new", "method", "my-x", "--kind", "mixed", "--output", tmp_path)
    assert done.returncode == 2
    assert all(f"'{kind}'" in done.stderr for kind in METHOD_KINDS)
    plain = ltbench_here("new", "method", "my-x", "--kind", "plain", "--output", tmp_path / "a")
    usual = ltbench_here("new", "method", "my-x", "--output", tmp_path / "b")
    assert plain.returncode == usual.returncode == 0
    assert (tmp_path / "a/my_x.py").read_text() == (tmp_path / "b/my_x.py").read_text()


def test_from_new_to_a_row(ltbench_here: CommandLine, tmp_path: Path, quick: list[str]) -> None:
    """As the command itself says: new, check, run with --plugin; method and strategy together."""
    for kind, name in (("method", "poly"), ("strategy", "my-em")):
        assert ltbench_here("new", kind, name, "--output", tmp_path).returncode == 0
    plugins = ["--plugin", tmp_path / "poly.py", "--plugin", tmp_path / "my_em.py"]
    results = tmp_path / "results"
    done = ltbench_here(
        "run", "--methods", "poly,poly+my-em", *quick, *plugins, "--results", results
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(load_results(results)["label"]) == {"poly", "poly+my-em", "poly+oracle"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sade", "is called 'sade' already"),
        ("all", "is called 'all' already"),
        ("../x", "is not usable"),
        ("Con", "is not usable"),
        ("", "is not usable"),
    ],
)
def test_unusable_names_are_refused(
    ltbench_here: CommandLine, tmp_path: Path, name: str, message: str
) -> None:
    done = ltbench_here("new", "method", name, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_told_in_plain_words(ltbench_here: CommandLine, tmp_path: Path) -> None:
    assert ltbench_here("new", "method", "mine", "--output", tmp_path).returncode == 0
    file = tmp_path / "mine.py"
    text = file.read_text()
    file.write_text(text.replace("return sum(", "return 2 * logits.sum(0) + sum("))
    done = ltbench_here("check", file)
    assert done.returncode == 1
    assert "MISSING  The loss is one finite float32 number" in done.stdout
    assert done.stdout.count("it must be one number, for example the mean over the batch") == 1
    assert "for the same reason not kept: " in done.stdout
    assert "missing" in done.stdout.splitlines()[-1]
    file.write_text(text.replace("return sum(", "return summ("))
    done = ltbench_here("check", file, "--quiet")
    assert done.stdout.count("NameError: name 'summ' is not defined, raised at mine.py:") == 1
    file.write_text(text.replace("def loss", "def lost"))
    done = ltbench_here("check", file)
    assert done.returncode == 2
    assert "Mine does not define loss" in done.stderr
    file.write_text("import nothing_of_that_name\n")
    done = ltbench_here("check", file)
    assert done.returncode == 2
    assert "cannot be imported: ModuleNotFoundError" in done.stderr


CHANGES = {
    "method": [
        ("F.cross_entropy(shifted[:, e], targets)", "F.multi_margin_loss(shifted[:, e], targets)"),
        ("def bias(self)", "def reference_bias(self)"),
        ("tau: float = setting(1.0, low=0", "strength: float = setting(0.3, low=0"),
        ("self.hyper.tau", "self.hyper.strength"),
        ("    # def architecture(self):", "    def architecture(self):"),
        ("    #     return Arch", "        return Arch"),
        ("from ltbench import Hyper, Method", "from ltbench import Architecture, Hyper, Method"),
    ],
    "strategy": [
        ("return balanced(logits) + prior.log()", "return balanced(logits) + 0.5 * prior.log()"),
        ("smoothing: float = setting(1.0, above=0", "added: float = setting(2.0, above=0"),
        ("self.hyper.smoothing", "self.hyper.added"),
    ],
    "protocol": [("imbalance = 20 ", "imbalance = 10 "), ("ratios = [2, 10]", "ratios = [3]")],
    "source": [("noise: float = setting(40.0", "spread: float = setting(20.0"),
               ("options.noise", "options.spread"), ("draw(rng, 100)", "draw(rng, 50)")],
    "backbone": [("else 32", "else 40"), ("block(3, 16)", "block(3, 20)"), ("block(16,", "block(20,")],
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_the_test_that_new_writes_outlives_the_example(
    tested: dict[str, dict[str, str]], kind: str
) -> None:
    """The author changes loss, parameters, experts or counts, which is what the file is for."""
    assert_passed(tested, f"changed.{kind}.test_other_{kind}")


COUNTS_CALLS = "self.n = getattr(self, 'n', 0) + 1; shifted = "
WEIGHT = "    import torch\n    scale = torch.nn.Parameter(torch.ones(()))\n\n    def loss"
WRONG_PHASE = (
    "    def phases(self):\n        from ltbench import Phase\n"
    "        return (Phase(train='head'),)\n\n    def bias"
)
REFUSED = {
    "self.n differs after other batches": ("shifted = ", COUNTS_CALLS),
    "Mine.scale is a learnable parameter": ("    def loss", WEIGHT),
    "it must be one number": ("return sum(", "return logits.sum((1, 2)) + sum("),
    "renumbered": ("return sum(", "return sum(range(logits.shape[2])[t] for t in targets) + sum("),
    "did you mean 'heads'": ("    def bias", WRONG_PHASE),
}


@pytest.mark.parametrize("words", REFUSED)
def test_run_refuses_what_would_make_numbers_wrong(
    ltbench_here: CommandLine, tmp_path: Path, quick: list[str], words: str
) -> None:
    assert ltbench_here("new", "method", "mine", "--output", tmp_path).returncode == 0
    file = tmp_path / "mine.py"
    file.write_text(file.read_text().replace(*REFUSED[words]))
    results = tmp_path / "results"
    for extra in ([], ["--dry-run"]):
        done = ltbench_here(
            "run", "--methods", "ce,mine", *quick, "--plugin", file, "--results", results, *extra
        )
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert f"method 'mine' ({file}) cannot be used: " in done.stderr
        assert words in done.stderr
        assert "nothing was started" in done.stderr
        assert not results.exists()


def test_advice_stops_no_run(ltbench_here: CommandLine, tmp_path: Path, quick: list[str]) -> None:
    """No reference, no docstring, no help: told by check as advice, and run all the same."""
    assert ltbench_here("new", "method", "mine", "--output", tmp_path).returncode == 0
    file = tmp_path / "mine.py"
    text = file.read_text().replace(', help="strength of the shift; 0 is cross-entropy"', "")
    file.write_text(
        text.replace('    """L = -log softmax(z + tau log pi)_y, pi the training', "    # ")
    )
    file.write_text(file.read_text().replace(' label frequencies."""', ""))
    checked = ltbench_here("check", file)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("  advice ") == 3
    done = ltbench_here(
        "run", "--methods", "mine", *quick, "--plugin", file, "--results", tmp_path / "r"
    )
    assert done.returncode == 0, done.stdout + done.stderr


STATEFUL = '''
from ltbench import Strategy
from ltbench.strategy import Adapted
class Mine(Strategy):
    """A strategy that remembers."""
    name, title = "remembers", "R"
    seen = 0
    def adapt(self, test, source, rng):
        self.seen += 1
        return Adapted(logits=source.method.predict(test.logits) * self.seen)
'''


def test_a_strategy_is_refused_too(
    ltbench_here: CommandLine, tmp_path: Path, quick: list[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(STATEFUL)
    done = ltbench_here(
        "run", "--methods", "ce+remembers", *quick, "--plugin", file, "--results", tmp_path / "r"
    )
    assert done.returncode == 2
    assert f"strategy 'remembers' ({file}) cannot be used: self.seen differs" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_names_are_checked_too(ltbench_here: CommandLine) -> None:
    for name in ("sade", "stability", "digits-lt"):
        done = ltbench_here("check", name, "--quiet")
        assert done.returncode == 0, done.stdout
    done = ltbench_here("check", "sad")
    assert done.returncode == 2
    assert "did you mean 'sade'" in done.stderr


def test_a_protocol_file_is_told_how_it_is_named(ltbench_here: CommandLine, tmp_path: Path) -> None:
    """A file that lies anywhere has no name that `run` knows; check does not promise one."""
    file = tmp_path / "birds.toml"
    file.write_text('extends = "digits-lt"\nname = "birds"\nversion = "1"\ntitle = "Birds"\n')
    checked = ltbench_here("check", file)
    assert checked.returncode == 0
    assert f"use: --protocol {file}; the name birds is known beside --plugin {file} alone" in (
        checked.stdout
    )
    dry = ("run", "--methods", "ce", "--dry-run", "--results", tmp_path / "r")
    assert ltbench_here(*dry, "--protocol", file).returncode == 0
    assert ltbench_here(*dry, "--protocol", "birds", "--plugin", file).returncode == 0
    assert "use: " not in ltbench_here("check", "digits-lt").stdout
    assert "use: " not in ltbench_here("check", file, "--plugin", file).stdout
    file.rename(tmp_path / "other.toml")
    named = ltbench_here("check", tmp_path / "other.toml")
    assert named.returncode == 1
    assert "the file is called 'other', the protocol 'birds'" in named.stdout
    assert "use: " not in named.stdout


def test_a_name_whose_file_lies_here_is_told_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "birds.toml").write_text('extends = "digits-lt"\nname = "birds"\nversion = "1"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"a file birds\.toml is here: give --protocol birds\.toml"
    ):
        find_protocols().get("birds")
    with pytest.raises(InputError, match="unknown protocol 'fish'"):
        find_protocols().get("fish")
