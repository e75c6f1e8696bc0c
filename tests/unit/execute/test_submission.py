"""What SLURM is asked for, by stand-ins for its commands that write down how they were called."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ltbench.errors import InputError

pytest.importorskip("submitit", reason="ltbench[slurm] is not installed")

from ltbench.execute.engines.slurm_job import SlurmJob
from ltbench.execute.engines.submission import Asked, open_queue

SBATCH = """#!/bin/sh
number=$(ls "$CALLS" | grep -c sbatch)
[ "$number" -lt "$MOST" ] || { echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }
cp "$1" "$CALLS/sbatch.$number"
echo "Submitted batch job $((10 + number))"
"""
SCONTROL = """#!/bin/sh
echo "MaxArraySize            = 3"
"""
SCANCEL = """#!/bin/sh
echo "$@" >> "$CALLS/scancel"
"""

ASKED = Asked(here=False, minutes=30, jobs=7, signal_delay=120, setup="", parameters={})


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster whose arrays have at most three jobs."""
    scripts = {"sbatch": SBATCH, "scontrol": SCONTROL, "scancel": SCANCEL, "srun": "#!/bin/sh\n"}
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    found = tmp_path / "calls"
    found.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CALLS", str(found))
    monkeypatch.setenv("MOST", "99")
    return found


def arrays(calls: Path) -> list[tuple[str, str]]:
    """The array and the dependency of each submission, in their order."""
    texts = [path.read_text() for path in sorted(calls.glob("sbatch.*"))]
    return [(_option("array", text), _option("dependency", text)) for text in texts]


def _option(name: str, text: str) -> str:
    found = re.search(rf"^#SBATCH --{name}=(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def jobs(number: int) -> list[SlurmJob]:
    return [SlurmJob([], "stop", 1.0) for _ in range(number)]


def test_an_array_is_no_larger_than_the_cluster_takes(calls: Path, tmp_path: Path) -> None:
    names = open_queue(ASKED, tmp_path / "jobs").submit(jobs(7))
    assert names == ["10_0", "10_1", "10_2", "11_0", "11_1", "11_2", "12"]
    assert arrays(calls) == [("0-2%3", ""), ("0-2%3", ""), ("", "")]


def test_no_more_run_side_by_side_than_asked_for(calls: Path, tmp_path: Path) -> None:
    queue = open_queue(replace(ASKED, jobs=2), tmp_path / "jobs")
    queue.submit(jobs(7))
    assert arrays(calls) == [("0-2%2", ""), ("0-2%2", "afterany:10"), ("", "afterany:11")]
    queue.submit(jobs(2))  # what is submitted later waits for nobody
    assert arrays(calls)[3:] == [("0-1%2", "")]


def test_where_a_later_array_is_refused_none_is_left(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOST", "1")
    with pytest.raises(InputError, match=r"^SLURM refused the jobs: .*QOSMaxSubmitJobPerUserLimit"):
        open_queue(ASKED, tmp_path / "jobs").submit(jobs(4))
    assert (calls / "scancel").read_text().split() == ["10_0", "10_1", "10_2"]
