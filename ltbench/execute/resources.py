"""How the processor is shared between trials."""

from __future__ import annotations

import os

import torch

from ltbench.trial.environment import usable_cpus

AUTO = "auto"
"""Trials of a GPU are threads of one process, and as many as :func:`trials_of_gpu` says."""
_MOST_OF_GPU = 5
"""Measured on an H200: five trials of three experts train 1.67 times the images of one, as processes under
MPS; more were not measured, nor threads."""
_GPU_MEMORY_PER_TRIAL = 4 << 30
"""Bytes; measured: below 2.6 GiB with its recorded steps."""
_MEMORY_PER_TRIAL = 3 << 30
"""Bytes that a trial of CIFAR size may take with room to spare; measured: below 2 GiB."""


def share(
    jobs: int | None,
    jobs_per_gpu: int | str | None,
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
    trials share each device, 1 unless told otherwise, with ``auto`` :func:`trials_of_gpu`. memory: bytes that
    the largest trial takes. processes: that train a trial together, each with a core or a GPU of its own;
    the threads of a trial are those of all of them.
    """
    cpus = usable_cpus()
    if jobs is None and device.type == "cpu":
        fit = _memory() // (max(memory, _MEMORY_PER_TRIAL) * processes)
        jobs = min(max(1, cpus // processes), max(1, fit))
    elif jobs is None:
        each = trials_of_gpu(device, memory) if jobs_per_gpu == AUTO else int(jobs_per_gpu or 1)
        jobs = each * len(gpus_of_workers(device, processes))
    jobs = max(1, min(jobs, most))
    return jobs, max(1, cpus // jobs)


def trials_of_gpu(device: torch.device, memory: int = 0) -> int:
    """As many as fit the memory of the smallest GPU, a trial of CIFAR size taken for 4 GiB and a larger one
    for ``memory``, and five at most."""
    indices = range(torch.cuda.device_count()) if device.index is None else [device.index]
    smallest = min(torch.cuda.get_device_properties(i).total_memory for i in indices)
    return max(1, min(_MOST_OF_GPU, smallest // max(memory, _GPU_MEMORY_PER_TRIAL)))


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
