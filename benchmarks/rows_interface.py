"""What a user waits for: the first help, a report on many trials, one more distribution; and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.row import Row
from benchmarks.timing import Spread, seconds_of
from ltbench.trial.ensemble import FOLDER

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "results" / "published" / "digits-lt"
TRIALS = 1_000


def interface(rounds: int) -> Row:
    row = Row("interface", "What a user waits for")
    helps = [seconds_of(lambda: _ltbench("--help")) for _ in range(rounds)]
    row.measured["ltbench --help"] = ("s", Spread.of(helps))
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        trials = many_trials(results / "many")
        seconds = seconds_of(lambda: _ltbench("report", "--results", results / "many"))
        row.measured[f"ltbench report on {trials:,} trials"] = ("s", Spread.of([seconds]))
        one = ("--methods", "sade", "--protocol", "digits-lt", "--results", results / "one")
        short = ("--set", "recipe.epochs=2", "--seeds", "1")
        _ltbench("run", *one, *short)
        further = [
            seconds_of(lambda r=r: _ltbench("evaluate", *one, *short, "--test-ratios", str(r)))
            for r in range(3, 3 + rounds)
        ]
        row.measured["ltbench evaluate: one more distribution"] = (
            "s",
            Spread.of(further),
        )
    peak = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    row.measured["peak memory of a CIFAR trial, three experts"] = (
        "GiB",
        Spread.of([int(peak.stdout) / 2**30]),
    )
    row.notes.append(
        f"the {TRIALS:,} trials are the published digits-lt records under further seeds; one more "
        "distribution: sade on digits-lt, the whole command"
    )
    return row


def many_trials(results: Path, trials: int = TRIALS) -> int:
    """Copies of the published digits-lt records, each under a seed of its own.

    Of single networks that have rows: an ensemble is nothing without its members.
    """
    places = sorted(PUBLISHED.glob("*/*/trial.json"))
    sources = [
        place
        for place in places
        if (place.parent / "evaluations").is_dir() and not place.parts[-3].startswith(FOLDER)
    ]
    for number in range(trials):
        source = sources[number % len(sources)].parent
        seed = number // len(sources) * 5 + json.loads((source / "trial.json").read_text())["seed"]
        trial = f"{number:012x}"
        folder = results / "digits-lt" / source.parent.name / f"{seed}-{trial}"
        (folder / "evaluations").mkdir(parents=True)
        for file in (source / "trial.json", *sorted((source / "evaluations").glob("*.json"))):
            record = json.loads(file.read_text()) | {"trial": trial, "seed": seed}
            (folder / file.relative_to(source)).write_text(json.dumps(record))
    return trials


def _ltbench(*arguments: object) -> None:
    command = [sys.executable, "-m", "ltbench", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
