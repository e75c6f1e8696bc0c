"""F15, F22: names and values that are refused before any work; F16, F24: what a report sets apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench.errors import InputError
from ltbench.report.build import build_report
from ltbench.report.selection import Selection
from tests.unit.report.builder import Results, flat
from tests.unit.report.rows.test_streams import add_stream, early

CommandLine = Callable[..., CompletedProcess[str]]
METHOD = """
from ltbench import Method
class Mine(Method):
    name, title = {name!r}, "mine"
    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()
"""


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def refused(done: CompletedProcess[str], expected: str) -> None:
    assert done.returncode == 2, done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert re.search(expected, line), line


@pytest.mark.parametrize("name", ["../x", "a/b", "CON", "x" * 300, "gr\u00f6\u00dfe", "..", "a\\b"])
def test_f15_names_that_are_no_names_of_folders(
    name: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(METHOD.format(name=name), encoding="utf-8")
    before = files(tmp_path)
    words = ["run", "--methods", name, "--protocol", "digits-lt", "--plugin", plugin]
    done = ltbench_here(*words, "--results", tmp_path / "deep" / "results")
    refused(done, r"mine\.py.* is not usable")
    assert files(tmp_path) == before


STRATEGY = """
from ltbench import Strategy
class Mine(Strategy):
    name, title = {name!r}, "mine"
    def adapt(self, test, train, *, rng=None):
        raise AssertionError("not asked")
"""
BAD_NAMES = ["../x", "a/b", "CON", "x" * 300, "gr\u00f6\u00dfe"]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", ["protocol", "strategy", "ensemble"])
def test_f15_of_protocols_strategies_and_ensembles_too(
    kind: str, name: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    results = ["--results", tmp_path / "deep" / "results"]
    words = ["run", "--methods", "ce", "--protocol"]
    if kind == "strategy":
        (tmp_path / "mine.py").write_text(STRATEGY.format(name=name), encoding="utf-8")
        words += ["digits-lt", "--plugin", tmp_path / "mine.py"]
    else:
        lines = {
            "protocol": f"name = {json.dumps(name)}\n",
            "ensemble": f'name = "mine"\n[ensembles]\n{json.dumps(name)} = "ce,focal"\n',
        }
        (tmp_path / "p.toml").write_text('extends = "digits-lt"\n' + lines[kind], encoding="utf-8")
        words.append(tmp_path / "p.toml")
    before = files(tmp_path)
    refused(ltbench_here(*words, *results), r"is not usable")
    assert files(tmp_path) == before


WRONG = {
    "--set recipe.epoch=3": r"recipe has no 'epoch' .*did you mean 'epochs'\?",
    "--set recipe.epochs=many": r"recipe\.epochs = 'many' must be a whole number",
    "--imbalance 0": r"imbalance = 0.* must be at least 1",
    "--test-ratios 0": r"ratios = 0.* must be greater than 1",
    "--set recipe.epochs=0": r"epochs = 0 must be at least 1",
    "--seeds 0,0": r"must differ from one another",
}


@pytest.mark.parametrize("options", WRONG)
def test_f22_wrong_values(options: str, ltbench_here: CommandLine, tmp_path: Path) -> None:
    words = ["run", "--methods", "ce", "--protocol", "digits-lt", *options.split()]
    refused(ltbench_here(*words, "--results", tmp_path / "results"), WRONG[options])
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("methods", "protocol", "expected"),
    [
        ("", "digits-lt", "the list is empty"),
        ("sad", "digits-lt", r"did you mean 'sade'\?"),
        ("ce", "digit-lt", r"did you mean 'digits-lt'\?"),
    ],
)
def test_f22_wrong_names(
    methods: str, protocol: str, expected: str, ltbench_here: CommandLine, tmp_path: Path
) -> None:
    words = ["run", "--methods", methods, "--protocol", protocol, "--results", tmp_path / "results"]
    refused(ltbench_here(*words), expected)
    assert not files(tmp_path)


def test_f16_diverged_seeds_are_counted_in_the_table_and_not_averaged(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(3):
        results.add("ce", seed, flat(50))
    for seed in (3, 4):
        results.fail("ce", seed)
    (section,) = build_report(tmp_path, figures=False).sections
    text = (section / "tables" / "main.md").read_text(encoding="utf-8")
    assert "2/5 diverged" in text
    assert "50.0" in text


MIXED = {
    "variant": {"variant": "recipe.epochs=40"},
    "version": {"version": "2.0"},
    "training data": {"data": "cccccc"},
    "test data": {"test_data": "dddddd"},
    "precision": {"precision": "bf16"},
}


@pytest.mark.parametrize("what", MIXED)
def test_f24_other_conditions_are_apart_footnoted_and_refused_by_strict(
    what: str, tmp_path: Path
) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    Results(tmp_path, **MIXED[what]).add("ce", 1, flat(90))  # type: ignore[arg-type]
    outcome = build_report(tmp_path, figures=False)
    texts = [(s / "tables" / "main.md").read_text(encoding="utf-8") for s in outcome.sections]
    assert len(texts) == 2
    assert not any("70.0" in text for text in texts)  # the mean of both
    assert all("not merged with" in text and what in text for text in texts)
    with pytest.raises(InputError, match=f"--strict: .* differ in .*{what}"):
        build_report(tmp_path, figures=False, strict=True)


def change(record: Path, **values: object) -> None:
    known = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps(known | values), encoding="utf-8")


def main_table(folder: Path) -> str:
    (section,) = build_report(folder, figures=False).sections
    return (section / "tables" / "main.md").read_text(encoding="utf-8")


def test_f24_other_code_is_told_and_refused_by_strict(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed, digest in enumerate(["a" * 12, "a" * 12, "b" * 12]):
        created = f"2025-01-0{seed + 1}T00:00:00+00:00"
        results.add("mine", seed, flat(90 if digest[0] == "a" else 50), method_digest=digest)
        (trial,) = tmp_path.glob(f"toy-lt/mine/{seed}-*")
        (row,) = (trial / "evaluations").glob("*.json")
        change(row, created=created)
    text = main_table(tmp_path)
    assert (
        "only its current code bbbbbbbb is shown, not code aaaaaaaa (2 records of seeds 0, 1"
        in text
    )
    assert "50.0" in text
    assert "90.0" not in text
    with pytest.raises(InputError, match=r"--strict: .*only its current code bbbbbbbb is shown"):
        build_report(tmp_path, figures=False, strict=True)


def test_f24_other_versions_of_ltbench_are_told_and_refused_by_strict(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed, version in enumerate(["0.1.0", "0.2.0"]):
        row = results.add("ce", seed, flat(50))
        environment = {"device": "cpu", "torch": "2.6.0", "ltbench": version}
        change(row.parent.parent / "trial.json", environment=environment)
    assert "more than one version of ltbench: 0.1.0, 0.2.0" in main_table(tmp_path)
    with pytest.raises(InputError, match=r"--strict: .*more than one version of ltbench"):
        build_report(tmp_path, figures=False, strict=True)


def test_f24_rows_with_fewer_seeds_say_so(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(4):
        results.add("ce", seed, flat(50))
        if seed < 3:
            results.add("focal", seed, flat(60))
    assert "the seeds (n = 3 to 4)" in main_table(tmp_path)
    lacks = r"--strict: .*: focal lacks seed 3 on \w+, which other rows have; "
    with pytest.raises(InputError, match=lacks):
        build_report(tmp_path, figures=False, strict=True)
    alone = Selection(methods=("focal",))
    build_report(tmp_path, figures=False, strict=True, selection=alone)
    results.add("focal", 3, flat(60))
    build_report(tmp_path, figures=False, strict=True)


def test_f24_other_seeds_in_the_same_number_are_missing_seeds(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(2):
        results.add("ce", seed, flat(50))
        results.add("focal", seed + 2, flat(60))
    with pytest.raises(InputError, match=r"ce lacks seeds 2, 3 on "):
        build_report(tmp_path, figures=False, strict=True)


@pytest.mark.parametrize("status", ["diverged", "oom", "timeout", "failed", "interrupted"])
def test_f24_a_seed_that_diverged_is_not_missing_and_one_that_failed_is(
    status: str, tmp_path: Path
) -> None:
    """That a method diverges is its result; that memory was short is not."""
    results = Results(tmp_path)
    for seed in range(3):
        results.add("ce", seed, flat(50))
        if seed < 2:
            results.add("focal", seed, flat(60))
        results.fail("ride", seed, "diverged")
    results.fail("focal", 2, status)
    if status == "diverged":
        build_report(tmp_path, figures=False, strict=True)
    else:
        with pytest.raises(InputError, match=r"focal lacks seed 2 on "):
            build_report(tmp_path, figures=False, strict=True)


def test_f24_a_row_without_any_result_lacks_all_seeds(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.fail("ride", 0, "oom")
    with pytest.raises(InputError, match=r"ride lacks seed 0 on "):
        build_report(tmp_path, figures=False, strict=True)


def test_f24_a_set_that_a_seed_was_not_evaluated_on_is_missing_there(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(2):
        results.add("ce", seed, flat(50))
        row = results.add("focal", seed, flat(60))
        results.add("tilt", seed, flat(60))
    record = json.loads(row.read_text(encoding="utf-8"))
    del record["distributions"]["backward10"]
    row.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"focal lacks seed 1 on backward10, "):
        build_report(tmp_path, figures=False, strict=True)


def test_f24_streams_that_lack_seeds(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in range(2):
        for method in ("ce", "focal"):
            row = results.add(method, seed, flat(50))
            if (method, seed) != ("focal", 1):
                add_stream(row, "single", {"random": early(10)})
    with pytest.raises(InputError, match=r"focal lacks seed 1 on streams of arrival single, "):
        build_report(tmp_path, figures=False, strict=True)


def test_f24_a_gpu_and_a_cpu_in_one_table_are_named(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed, device in enumerate(["cpu", "NVIDIA H200"]):
        row = results.add("ce", seed, flat(50))
        environment = {"device": device, "torch": "2.6.0", "ltbench": "0.1.0"}
        change(row.parent.parent / "trial.json", environment=environment)
    told = "trained in more than one arithmetic: TF32 in convolutions, float32 without TF32"
    assert told in main_table(tmp_path)
    named = r"--strict: .*: trained on NVIDIA H200 \(GPU\) and on cpu \(CPU\); report them apart"
    with pytest.raises(InputError, match=named):
        build_report(tmp_path, figures=False, strict=True)


def test_f24_a_gpu_and_a_cpu_are_not_compared_by_a_selection_either(tmp_path: Path) -> None:
    """A row that is not shown is still what those shown are compared with."""
    results = Results(tmp_path)
    for method, device in {"ce": "cpu", "focal": "NVIDIA H200"}.items():
        row = results.add(method, 0, flat(50))
        environment = {"device": device, "torch": "2.6.0", "ltbench": "0.1.0"}
        change(row.parent.parent / "trial.json", environment=environment)
    alone = Selection(methods=("focal",))
    with pytest.raises(InputError, match=r"\(GPU\) and on cpu \(CPU\)"):
        build_report(tmp_path, figures=False, strict=True, selection=alone)


@pytest.mark.parametrize("devices", [("NVIDIA A100", "NVIDIA H200"), ("cpu", ""), ("cpu", "cpu")])
def test_f24_two_gpus_or_a_device_that_is_not_told_are_no_such_mixture(
    devices: tuple[str, str], tmp_path: Path
) -> None:
    results = Results(tmp_path)
    for seed, device in enumerate(devices):
        row = results.add("ce", seed, flat(50))
        environment = {"device": device, "torch": "2.6.0", "ltbench": "0.1.0"}
        change(row.parent.parent / "trial.json", environment=environment)
    build_report(tmp_path, figures=False, strict=True)


def test_f21_plugin_files_that_nobody_named_are_not_run(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """In the current folder, beside a plugin that is named, in the results and with the images."""
    sentinel = tmp_path / "ran"
    evil = f"open({str(sentinel)!r}, 'w').close()\n"
    results = tmp_path / "results"
    Results(results).add("ce", 0, flat(50))
    (tmp_path / "data").mkdir()
    named = tmp_path / "named.py"
    named.write_text(
        "from ltbench import Method\n"
        "class Named(Method):\n"
        "    name, title = 'named', 'is asked for'\n"
        "    def loss(self, logits, targets, *, progress, rng=None):\n"
        "        return logits.sum()\n"
    )
    names = ("evil.py", "torch.py", "sitecustomize.py", "conftest.py", "ltbench_plugin.py")
    for folder in (tmp_path / "cwd", tmp_path, results, results / "digits-lt", tmp_path / "data"):
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).write_text(evil)
    asked = ["--protocol", "digits-lt", "--results", results]
    plugin = ["--plugin", named]
    assert "named" in ltbench_here("list", "methods", *plugin).stdout
    assert ltbench_here("status", "--results", results).returncode == 0
    assert ltbench_here("report", "--results", results, "--no-figures").returncode == 0
    done = ltbench_here("run", "--methods", "named", *asked, *plugin, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert not sentinel.exists()
    ltbench_here("list", "methods", "--plugin", tmp_path / "evil.py")
    assert sentinel.exists()  # the file can run: only naming it does
