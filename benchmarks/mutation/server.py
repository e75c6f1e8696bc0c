"""One process imports torch and pytest; a fork of it meets each mutant: a second instead of tens of them."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from benchmarks.mutation.sample import ROOT

CPU_SECONDS = 60
"""Of a child, several times what the slowest tests take; a busy machine does not shorten them."""
BROKEN = 77
# Imported before the fork, so that each child has them. Not ltbench: that is what is mutated.
HEAVY = ("torch", "numpy", "pandas", "scipy.special", "scipy.stats", "sklearn.metrics")
# hypothesis is imported here, too late for pytest to rewrite its assertions; it says so, and under
# filterwarnings=error that alone would end every run. A fixed seed: the same faults are found again.
OPTIONS = (
    *("-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"),
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),
)


def warm_up() -> None:
    """No torch operation may run here: the threads it starts do not survive a fork."""
    sys.dont_write_bytecode = True  # two mutants of one second and size would share a .pyc
    for module in (*HEAVY, "pytest", "hypothesis"):
        __import__(module)
    import torch

    torch.set_num_threads(1)


def copy_of_ltbench(folder: Path) -> Path:
    """Where the mutants are written; the checkout stays as it is."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("ltbench", "methods", "protocols"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    return folder


def meet(copy: Path, name: str, source: str, tests: list[str]) -> str:
    """ "killed", "survived" or "timeout"; "broken" where the copy was not what was tested."""
    (copy / name).write_text(source, encoding="utf-8")
    child = os.fork()
    if child == 0:
        _in_child(copy, tests)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    shutil.copyfile(ROOT / name, copy / name)
    return {0: "survived", BROKEN: "broken", -signal.SIGXCPU: "timeout"}.get(code, "killed")


def _in_child(copy: Path, tests: list[str]) -> None:
    """Never returns. What pytest says lies in ``told.txt`` of the copy."""
    code = BROKEN
    try:
        import pytest

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        told = os.open(copy / "told.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(copy / "hypothesis")
        sys.path.insert(0, str(copy))
        code = int(pytest.main([*OPTIONS, f"--basetemp={copy / 'tmp'}", *tests]))
        loaded = sys.modules.get("ltbench")
        if code == 0 and (loaded is None or not str(loaded.__file__).startswith(str(copy))):
            code = BROKEN  # the checkout was tested, not the mutant
    except BaseException:
        code = 1
    finally:
        sys.stdout.flush()
        os._exit(code)
