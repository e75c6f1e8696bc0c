"""F25: a clock that jumps, another locale, a path with spaces and umlauts, no terminal: the same numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

CommandLine = Callable[..., CompletedProcess[str]]
ASKED = ["run", "--protocol", "digits-lt", "--methods", "ce", "--set", "recipe.epochs=2"]
ASKED += ["--set", "test.draws=2", "--set", "test.ratios=2"]
JUMPS = """
import itertools, time
now, turns = time.time, itertools.count()
time.time = lambda: now() + (-86400, 7200, -3600)[next(turns) % 3]
"""


def outcome(results: Path) -> tuple[bytes, bytes, list[object]]:
    (folder,) = results.glob("digits-lt/ce/0-*")
    paths = sorted((folder / "evaluations").glob("*.json"))
    found = [json.loads(path.read_text(encoding="utf-8"))["distributions"] for path in paths]
    logits, weights = (folder / f"{name}.safetensors" for name in ("logits", "weights"))
    return logits.read_bytes(), weights.read_bytes(), found


def test_f25_the_surroundings_change_no_number(
    ltbench: CommandLine, environment: dict[str, str], tmp_path: Path
) -> None:
    odd = tmp_path / "a folder, gr\u00f6\u00dfer"
    odd.mkdir()
    (odd / "sitecustomize.py").write_text(JUMPS)
    one = {"OMP_NUM_THREADS": "1"}
    around = one | {
        "PYTHONPATH": os.pathsep.join((str(odd), environment["PYTHONPATH"])),
        "LC_ALL": "de_DE.UTF-8",
        "LANG": "C",
        "PYTHONUTF8": "0",
        "PYTHONHASHSEED": "random",
    }
    calm = ltbench(*ASKED, "--results", tmp_path / "calm", env=one)
    assert calm.returncode == 0, calm.stderr
    done = ltbench(*ASKED, "--results", odd / "results", cwd=odd, env=around)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr  # no terminal: no control codes
    assert outcome(odd / "results") == outcome(tmp_path / "calm")
