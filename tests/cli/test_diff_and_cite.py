"""``ltbench diff`` and the BibTeX of ``report --cite`` and ``show --bibtex``."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench.method import Reference
from ltbench.report.cite import entry_of, write_bibliography
from ltbench.report.diff import compare_trials
from ltbench.trial.checked import read_checked

CommandLine = Callable[..., CompletedProcess[str]]
PUBLISHED = Path(__file__).resolve().parents[2] / "results/published"


def trial(name: str, seed: int) -> Path:
    (folder,) = PUBLISHED.glob(f"digits-lt/{name}/{seed}-*")
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(trial("ce", 0), tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder: Path, pattern: str, change: Callable[[dict], None]) -> None:
    path = sorted(folder.glob(pattern))[0]
    record = read_checked(path)
    change(record)
    path.write_text(json.dumps(record))


def test_a_copy_is_identical_whenever_and_however_long_it_ran(
    ltbench_here: CommandLine, copy: Path
) -> None:
    edit(copy, "trial.json", lambda r: r.update(created="2000-01-01", cost={"seconds": 1}))
    done = ltbench_here("diff", trial("ce", 0), copy)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("identical in")


def test_two_seeds_differ_in_seed_and_results(ltbench_here: CommandLine) -> None:
    numbers = [trial("ce", seed).name.partition("-")[2] for seed in (0, 1)]
    done = ltbench_here("diff", *numbers, "--results", PUBLISHED)
    assert done.returncode == 0, done.stderr
    assert "identical" not in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["identity", "seed", "0", "1"] in lines
    assert not [line for line in lines if "recipe" in line]
    assert [line for line in lines if line[:1] == ["results"]]
    means = []
    for seed in (0, 1):
        (path,) = trial("ce", seed).glob("evaluations/ce+none-*.json")
        draws = json.loads(path.read_text())["distributions"]["forward20"]["draws"].values()
        means.append(f"{sum(draw['top1'] for draw in draws) / 10:.2f}")
    (row,) = [d for d in compare_trials(*map(trial, ("ce", "ce"), (0, 1)))
              if d.key == "ce, forward20"]  # fmt: skip
    assert (row.first, row.second) == tuple(f"{mean} (10 draws)" for mean in means)


@pytest.mark.parametrize(
    ("change", "section", "key"),
    [
        (lambda r: r["identity"]["recipe"].update(lr=0.1), "identity", "identity.recipe.lr"),
        (lambda r: r["recipe"].update(lr=0.1), "recipe", "recipe.lr"),
        (lambda r: r["environment"].update(torch="1.0"), "environment", "environment.torch"),
        (lambda r: r["environment"].update(ltbench="9"), "environment", "environment.ltbench"),
        (lambda r: r["training"].update(version=2), "identity", "training.version"),
        (lambda r: r["data"]["train_counts"].append(1), "data", "data.train_counts"),
        (lambda r: r["model"].pop("parameters"), "model", "model.parameters"),
    ],
)
def test_one_change_is_one_line(
    copy: Path, change: Callable[[dict], None], section: str, key: str
) -> None:
    edit(copy, "trial.json", change)
    (found,) = compare_trials(trial("ce", 0), copy)
    assert (found.section, found.key) == (section, key)


def test_a_row_that_one_lacks_and_one_that_is_damaged_are_told(copy: Path) -> None:
    (copy / "evaluations").rename(copy / "gone")
    found = compare_trials(trial("ce", 0), copy)
    assert {d.section for d in found} == {"results"}
    assert {d.second for d in found} == {"–"}
    (copy / "gone").rename(copy / "evaluations")
    path = sorted((copy / "evaluations").glob("ce+oracle-*"))[0]
    path.write_text("{")
    assert (path.name, "unreadable") in {
        (d.key, d.second) for d in compare_trials(trial("ce", 0), copy)
    }


def test_what_is_no_trial_is_one_line(ltbench_here: CommandLine) -> None:
    done = ltbench_here("diff", "ffffffff", trial("ce", 0))
    assert done.returncode == 2
    assert "no trial whose hash starts with 'ffffffff'" in done.stderr


def test_everything_used_is_cited_once(ltbench_here: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "used.bib"
    done = ltbench_here(
        *("report", "--results", PUBLISHED, "--output", tmp_path / "out", "--no-figures"),
        *("--protocol", "digits-lt", "--cite", file),
    )
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    keys = re.findall(r"^@\w+\{([a-z0-9]+),$", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) >= 7
    assert text.count("{") == text.count("}")
    for words in ("Menon and Jayasumana", "Wang and Lian", "Zhang and Hooi", "Alpaydin", "Cao,"):
        assert text.count(words) == 1, words
    assert re.search(r"^% sade, stability, .*test distributions of digits-lt$", text, re.MULTILINE)
    assert "no reference" not in text


def test_what_has_no_reference_is_told(copy: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    folder = results / "digits-lt/mine/0-57a15b36b2f5"
    shutil.copytree(copy, folder)
    edit(folder, "trial.json", lambda r: r["training"].update(name="mine", origin="imported"))
    for path in (folder / "evaluations").glob("*.json"):
        edit(path.parent, path.name, lambda r: r.update(method="mine"))
    missing = write_bibliography(results, tmp_path / "x.bib")
    assert missing == ["method mine (imported)"]
    assert "% no reference is known for method mine" in (tmp_path / "x.bib").read_text()


def test_one_method_is_shown_as_bibtex(ltbench_here: CommandLine) -> None:
    done = ltbench_here("show", "sade", "--bibtex")
    assert done.stdout.startswith("@inproceedings{zhang2022selfsupervised,\n")
    assert ltbench_here("show", "none", "--bibtex").returncode == 2


def test_special_characters_survive_latex() -> None:
    entry = entry_of(Reference("Müller, O'Neil", "50% & more", "Journal of X", 2020, "https://x.y"))
    assert entry.key == "muller202050"
    assert entry.kind == "article"
    assert r"{50\% \& more}" in entry.render()
