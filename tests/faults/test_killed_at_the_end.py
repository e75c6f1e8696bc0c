"""F3: a worker that is killed after its last row and before its claim's end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ltbench.trial import store
from ltbench.trial.claim import Claim
from tests.faults.test_kill_resume import check_clean
from tests.in_process import without_workers
from tests.zygote import available, started

CommandLine = Callable[..., CompletedProcess[str]]
WORDS = [
    "run",
    "--protocol",
    "digits-lt",
    "--methods",
    "ce",
    "--set",
    "recipe.epochs=1",
    "--jobs",
    "1",
]
WORDS += ["--set", "test.draws=1", "--set", "test.ratios=2"]


def die_at_release() -> None:
    """From now on this process, command and worker in one, is killed when it lets go of a trial."""
    without_workers(pytest.MonkeyPatch())

    def die(claim: Claim) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Claim.release = die  # type: ignore[method-assign]


@pytest.mark.skipif(not available(), reason="kills forks that one thread makes")
def test_f03_killed_after_the_last_row(
    command: list[str], environment: dict[str, str], ltbench_here: CommandLine, tmp_path: Path
) -> None:
    """Everything is there, so nobody has to go in again; the next command tidies up all the same."""
    results = tmp_path / "results"
    words = [*WORDS, "--results", str(results)]
    with (tmp_path / "output").open("wb") as file:
        run = started(
            [*command, *words], env=environment, cwd=tmp_path, stdout=file, stderr=file,
            before=die_at_release,
        )  # fmt: skip
    assert run.wait(600) == -signal.SIGKILL, (tmp_path / "output").read_text()
    (folder,) = (path.parent for path in results.glob("digits-lt/ce/*/trial.json"))
    assert (folder / store.CLAIM).exists()
    assert not store.is_claimed(folder)
    (folder / "failure.log").touch()  # as a command writes whose worker was killed

    again = ltbench_here(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert not (folder / store.CLAIM).exists()
    check_clean(results)


def test_f03_what_another_process_holds_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "failure.log").touch()
    with store.claim(tmp_path):
        store.tidy(tmp_path)
        assert (tmp_path / "failure.log").exists()
    store.tidy(tmp_path)
    assert (tmp_path / "failure.log").exists()  # of a row that failed: no kill
