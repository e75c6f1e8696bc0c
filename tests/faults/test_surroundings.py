"""F25: a clock that jumps, another locale, a path with spaces and umlauts, no terminal: the same numbers."""

from __future__ import annotations

import json
import locale
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

CommandLine = Callable[..., CompletedProcess[str]]
ASKED = ["run", "--protocol", "digits-lt", "--methods", "ce", "--set", "recipe.epochs=1"]
ASKED += ["--set", "test.draws=1", "--set", "test.ratios=2"]
JUMPS = """
import itertools, os, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one thread: two round otherwise
now, turns = time.time, itertools.count()
time.time = lambda: now() + (-86400, 7200, -3600)[next(turns) % 3]
"""


def outcome(results: Path) -> tuple[bytes, bytes, list[object]]:
    (folder,) = results.glob("digits-lt/ce/0-*")
    paths = sorted((folder / "evaluations").glob("*.json"))
    found = [json.loads(path.read_text(encoding="utf-8"))["distributions"] for path in paths]
    logits, weights = (folder / f"{name}.safetensors" for name in ("logits", "weights"))
    return logits.read_bytes(), weights.read_bytes(), found


def has_locale(name: str) -> bool:
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)
    return True


@pytest.fixture(scope="module")
def calm(ltbench: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("calm") / "results"
    done = ltbench(*ASKED, "--results", results)
    assert done.returncode == 0, done.stderr
    return results


@pytest.mark.parametrize("where", ["C", "de_DE.UTF-8"])
def test_f25_the_surroundings_change_no_number(
    where: str, calm: Path, ltbench: CommandLine, environment: dict[str, str], tmp_path: Path
) -> None:
    if not has_locale(where):
        pytest.skip(f"the locale {where} is not installed here")
    odd = tmp_path / "a folder, gr\u00f6\u00dfer"
    odd.mkdir()
    (odd / "sitecustomize.py").write_text(JUMPS)
    around = {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join((str(odd), environment["PYTHONPATH"])),
        "LC_ALL": where,
        "LANG": "C",
        "PYTHONUTF8": "0",
        "PYTHONHASHSEED": "random",
    }
    done = ltbench(*ASKED, "--results", odd / "results", cwd=odd, env=around)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr  # no terminal: no control codes
    assert outcome(odd / "results") == outcome(calm)
