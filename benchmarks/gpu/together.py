"""Several trainings at once: threads of this process, or processes with or without NVIDIA's MPS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.cases import MPS, MPS_CONTROL, Case
from benchmarks.gpu.training import Clock, Set, rate
from ltbench.trial.environment import usable_cpus

ROOT = Path(__file__).parents[2]
_POLL = 0.002


def threads(
    data: Set, case: Case, device: torch.device, seconds: float, limit: float
) -> list[dict[str, Any]]:
    """Each in a thread with a CUDA stream of its own. limit: seconds that one waits for the others."""
    meeting = threading.Barrier(case.trials)
    found: list[dict[str, Any] | BaseException] = [RuntimeError("never ran")] * case.trials
    streams = [torch.cuda.Stream(device) for _ in found] if device.type == "cuda" else None

    def one(place: int) -> None:
        torch.set_num_threads(max(1, usable_cpus() // case.trials))
        own = nullcontext() if streams is None else torch.cuda.stream(streams[place])
        try:
            with own:
                clock = Clock(seconds, lambda: meeting.wait(limit) and None)
                found[place] = rate(data, case, device, clock, seed=place)
        except BaseException as error:
            found[place] = error
            meeting.abort()

    workers = [threading.Thread(target=one, args=(place,)) for place in range(case.trials)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = [each for each in found if isinstance(each, BaseException)]
    told = [each for each in failed if not isinstance(each, threading.BrokenBarrierError)]
    if failed:
        raise RuntimeError(f"{type((told or failed)[0]).__name__}: {(told or failed)[0]}")
    return [each for each in found if isinstance(each, dict)]


def processes(
    case: Case,
    device: torch.device,
    seconds: float,
    limit: float,
    *,
    data_dir: Path | None,
    tiny: bool,
) -> list[dict[str, Any]]:
    """Each in a process of its own; all are ended after ``limit`` seconds."""
    until = time.monotonic() + limit
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _mps(folder) if case.how == MPS else nullcontext({}) as extra:
            said = {
                "case": case.to_json(),
                "device": str(device),
                "seconds": seconds,
                "folder": name,
                "data_dir": None if data_dir is None else str(data_dir.resolve()),
                "tiny": tiny,
                "threads": max(1, usable_cpus() // case.trials),
            }
            started = [_start(said | {"place": i}, extra) for i in range(case.trials)]
            try:
                _all_there(folder, "ready", started, until)
                (folder / "go").touch()
                paths = _all_there(folder, "result", started, until)
                return [json.loads(path.read_text()) for path in paths]
            finally:
                for child in started:
                    child.kill()
                    child.wait()


def _start(said: dict[str, Any], extra: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = os.environ | extra
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    errors = (Path(said["folder"]) / f"errors-{said['place']}").open("wb")
    command = [sys.executable, "-m", "benchmarks.gpu.together", json.dumps(said)]
    with errors:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=errors, stderr=errors)


def _all_there(
    folder: Path, what: str, started: list[subprocess.Popen[bytes]], until: float
) -> list[Path]:
    paths = [folder / f"{what}-{place}" for place in range(len(started))]
    while not all(path.exists() for path in paths):
        for place, child in enumerate(started):
            code = child.poll()
            if code is not None and not paths[place].exists():
                log = (folder / f"errors-{place}").read_text(errors="replace").strip()
                raise RuntimeError(f"a process ended with code {code}: {log[-300:]}")
        if time.monotonic() > until:
            raise TimeoutError(f"not every process was {what} in time")
        time.sleep(_POLL)
    return paths


@contextmanager
def _mps(folder: Path) -> Iterator[dict[str, str]]:
    """Its daemon while the block runs; the variables that lead a process to it."""
    extra = {
        "CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"),
        "CUDA_MPS_LOG_DIRECTORY": str(folder / "log"),
    }
    for place in extra.values():
        Path(place).mkdir()
    environment = os.environ | extra
    subprocess.run([MPS_CONTROL, "-d"], env=environment, check=True, timeout=20)
    try:
        yield extra
    finally:
        subprocess.run([MPS_CONTROL], env=environment, input=b"quit\n", check=False, timeout=30)


def _child() -> None:
    said = json.loads(sys.argv[1])
    torch.set_num_threads(said["threads"])
    folder, place = Path(said["folder"]), said["place"]

    def wait() -> None:
        (folder / f"ready-{place}").touch()
        while not (folder / "go").exists():
            time.sleep(_POLL)

    data_dir = None if said["data_dir"] is None else Path(said["data_dir"])
    device = torch.device(said["device"])
    data = Set.load(data_dir, tiny=said["tiny"])
    clock = Clock(said["seconds"], wait)
    found = rate(data, Case.from_json(said["case"]), device, clock, seed=place)
    if device.type == "cuda":
        found["reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    written = folder / f"part-{place}"
    written.write_text(json.dumps(found))
    written.rename(folder / f"result-{place}")


if __name__ == "__main__":
    _child()
