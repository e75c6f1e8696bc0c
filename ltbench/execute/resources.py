"""How the processor is shared between trials."""

from __future__ import annotations

import os

import torch

from ltbench.trial.environment import usable_cpus

_MEMORY_PER_TRIAL = 3 << 30
"""Bytes that a trial of CIFAR size may take with room to spare; measured: below 2 GiB."""


def share(
    jobs: int | None,
    jobs_per_gpu: int | None,
    most: int,
    device: torch.device,
    memory: int = 0,
    processes: int = 1,
) -> tuple[int, int]:
    """(trials side by side, threads of each). None: as many as pay off; never over ``most``.

    On a CPU every core gets a trial of its own while there are enough: layers this small lose on
    every hand-over between threads. Measured on 2 cores, images a second of two trials with one
    thread each against one trial with two threads: 250 and 200 with one head, 150 and 122 with three
    experts; on 8x8 digits a second thread even makes a trial slower. On an accelerator ``jobs_per_gpu``
    trials share each device, 1 unless told otherwise. memory: bytes that the largest trial takes.
    processes: that train a trial together, each with a core or a GPU of its own; the threads of a trial
    are those of all of them.
    """
    cpus = usable_cpus()
    if jobs is None and device.type == "cpu":
        fit = _memory() // (max(memory, _MEMORY_PER_TRIAL) * processes)
        jobs = min(max(1, cpus // processes), max(1, fit))
    elif jobs is None:
        jobs = (jobs_per_gpu or 1) * len(gpus_of_workers(device, processes))
    jobs = max(1, min(jobs, most))
    return jobs, max(1, cpus // jobs)


def visible_gpus(device: torch.device) -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` of each worker may be; one entry where ``device`` is one."""
    if device.type != "cuda" or device.index is not None:
        return [""]
    listed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return listed or [str(i) for i in range(torch.cuda.device_count())]


def gpus_of_workers(device: torch.device, processes: int = 1) -> list[str]:
    """Those of :func:`visible_gpus` dealt out among workers, ``processes`` to each, by commas."""
    gpus = visible_gpus(device)
    if gpus == [""]:
        return gpus
    starts = range(0, max(1, len(gpus) - processes + 1), processes)
    return [",".join(gpus[start : start + processes]) for start in starts]


def _memory() -> int:
    """Bytes of main memory; where the system does not tell, enough for one trial a core."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return usable_cpus() * _MEMORY_PER_TRIAL
