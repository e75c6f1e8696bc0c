"""Any damage to any record of a results folder: what reads folders says so in lines, or passes it over."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import ltbench
from ltbench.errors import LtbenchError
from ltbench.execute.survey import survey
from ltbench.report.build import build_report
from ltbench.report.cite import write_bibliography
from ltbench.report.decide import decide
from ltbench.report.diff import compare_trials
from ltbench.report.selection import Selection
from ltbench.trial.asked_code import FILE as ASKED

from .mutations import budget, damaged_json, must_end

PUBLISHED = Path(__file__).parents[2] / "results" / "published" / "digits-lt"

FAILED = {
    "schema": 1,
    "status": "diverged",
    "trial": "ab12ab12ab12",
    "training": {"name": "ride", "hyper": {}},
    "seed": 0,
    "error": "the loss is NaN",
    "log": "log.txt",
    "command": ["ltbench", "run"],
    "epoch": 2,
}
ROW = {"schema": 1, "label": "ce+em", "error": "boom", "command": ["ltbench", "evaluate"]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real records: three trials with two rows each, their ensemble; a stream, failures, noted code."""
    root = tmp_path_factory.mktemp("records") / "results"
    ensemble = sorted(PUBLISHED.glob("ensemble-3xce/*"))[0]
    members = json.loads((ensemble / "trial.json").read_text())["ensemble"]["members"]
    for source in (
        ensemble,
        *(PUBLISHED / "ce").glob("0-*"),
        *(
            PUBLISHED / member["training"] / f"{member['seed']}-{member['trial']}"
            for member in members
        ),
    ):
        target = root / "digits-lt" / source.parent.name / source.name
        (target / "evaluations").mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "trial.json", target)
        for path in sorted(source.glob("evaluations/*.json"))[:2]:
            shutil.copy(path, target / "evaluations")
    trial = sorted((root / "digits-lt" / "ce").iterdir())[0]
    record = json.loads(sorted(trial.glob("evaluations/*.json"))[0].read_text())
    _write(trial / "streams" / "single-ce.json", _stream(record))
    _write(trial / "failures" / "x.json", ROW)
    failed = {**FAILED, "protocol": record["protocol"], "data": record["data"]}
    _write(root / "digits-lt" / "ride" / "0-ab12ab12ab12" / "failed.json", failed)
    _write(root / ASKED, {"schema": 1, "method": {"other": ["ab", "cd"]}, "strategy": {}})
    return root


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _stream(evaluation: dict[str, Any]) -> dict[str, Any]:
    bits = base64.b64encode(np.packbits(np.arange(40) % 2).tobytes()).decode()
    orders = {name: {"n": 40, "top1": 50.0, "correct": bits} for name in ("random", "drifting")}
    distributions = {
        name: {"definition": entry["definition"], "orders": orders}
        for name, entry in evaluation["distributions"].items()
    }
    more = {"arrival": "single", "predicts": "after", "drift": 50.0}
    return {**evaluation, **more, "distributions": distributions}


FILES = {
    "trial": "digits-lt/ce/0-*/trial.json",
    "evaluation": "digits-lt/ce/0-*/evaluations/*.json",
    "ensemble": "digits-lt/ensemble-3xce/*/trial.json",
    "evaluation of the ensemble": "digits-lt/ensemble-3xce/*/evaluations/*.json",
    "stream": "digits-lt/ce/0-*/streams/*.json",
    "failed trial": "digits-lt/ride/*/failed.json",
    "failed row": "digits-lt/ce/0-*/failures/*.json",
    "noted code": ASKED,
}


def consumers(root: Path, out: Path) -> dict[str, Callable[[], object]]:
    first, second = sorted((root / "digits-lt" / "ce").iterdir())[:2]
    (ensemble,) = (root / "digits-lt" / "ensemble-3xce").iterdir()
    mix = {"mine": {str(c): 1.0 for c in range(10)}}
    return {
        "status": lambda: survey(root),
        "report": lambda: build_report(root, out, figures=False),
        "strict report": lambda: build_report(
            root, out, figures=False, strict=True, selection=Selection(methods=("ce",))
        ),  # of the others some lack seeds
        "cite": lambda: write_bibliography(root, out / "x.bib"),
        "decide": lambda: decide(root, mix),
        "diff": lambda: (compare_trials(first, second), compare_trials(second, ensemble)),
        "load_results": lambda: ltbench.load_results(root),
    }


@contextmanager
def written(path: Path, content: bytes) -> Iterator[None]:
    """Within, ``path`` holds ``content``."""
    sound = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(sound)


def read_by_all(root: Path, out: Path) -> None:
    for name, read in consumers(root, out).items():
        with must_end():
            try:
                read()
            except LtbenchError as error:
                text = str(error)
                assert text, name
                assert len(text.splitlines()) == 1, (name, text)
                assert len(text) < 2000, (name, text[:300])


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_record_is_told_in_lines(name: str, results: Path, tmp_path: Path) -> None:
    (path, *_) = sorted(results.glob(FILES[name]))
    valid = json.loads(path.read_text())

    @budget(parts=6)
    @given(damaged_json(valid))
    def damaged(content: bytes) -> None:
        with written(path, content):
            read_by_all(results, tmp_path)

    damaged()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ensemble", {"training": {"name": "3*ce"}}),  # cite looked for the members there
        ("failed row", {"command": None}),
        ("trial", {"protocol": []}),
    ],
)
def test_what_was_found_stays_fixed(
    name: str, change: dict[str, Any], results: Path, tmp_path: Path
) -> None:
    (path, *_) = sorted(results.glob(FILES[name]))
    record = {**json.loads(path.read_text()), **change}
    with written(path, json.dumps(record).encode()):
        read_by_all(results, tmp_path)


def test_the_sound_records_are_read_by_all(results: Path, tmp_path: Path) -> None:
    for read in consumers(results, tmp_path).values():
        read()
