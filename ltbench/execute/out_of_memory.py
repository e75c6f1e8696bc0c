"""Memory that is not enough: which errors say so, and what asks for less of it."""

from __future__ import annotations

import gc
import re
import sys
import traceback
from collections.abc import Iterator

from ltbench.errors import InputError
from ltbench.execute.job import Job
from ltbench.train.division import divide
from ltbench.train.speed import parse_speed

_WORDS = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|not enough memory: you tried to allocate"
    r"|(CUDA|HIP|MPS backend) out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"
    r"|CUDNN_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_TOLD = re.compile(
    r"DefaultCPUAllocator.*?\d bytes|(CUDA|HIP|MPS).*?[Tt]ried to allocate [\d.]+ \w+"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or what it was raised from, is one of these; NumPy's is a ``MemoryError``."""
    while True:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, RuntimeError) and _WORDS.search(str(error)):
            return True
        if error.__cause__ is None:
            return False
        error = error.__cause__


def told(error: BaseException) -> str:
    """What was asked for, without the allocator's pages of advice: half a line."""
    line = (str(error).strip().splitlines() or ["MemoryError"])[0]
    found = _TOLD.search(line)
    return found.group() if found else line


def needs_less(job: Job, *, trained: bool) -> str:
    """What of the same job takes less memory, half a line; nothing of it is done unasked.

    trained: what is left are evaluations.
    """
    ways = list(_evaluating(job) if trained else _training(job))
    if not ways:
        return "it needs a machine with more memory"
    return f"less memory take: {'; '.join(ways)}"


def _training(job: Job) -> Iterator[str]:
    settings, recipe = job.settings, job.protocol.recipe_for(job.training)
    parts = _next_parts(job)
    if "graph" in parse_speed(settings.speed):
        yield "--speed auto (then --accumulate is possible)"
    elif parts:
        yield f"--accumulate {parts} (it keeps the batch of {recipe.batch_size})"
    elif recipe.norm_batch is None and recipe.batch_size % 2 == 0:
        half = recipe.batch_size // 2
        yield (
            f"--accumulate 2 with --set recipe.norm_batch={half} (it keeps the batch of "
            f"{recipe.batch_size}; BatchNorm then sees {half} images: a variant of the protocol)"
        )
    yield from _beside(job)
    if settings.device == "cpu" and settings.processes > 1:
        yield "--processes 1"


def _next_parts(job: Job) -> int:
    """The next number of parts of a batch that its groups allow; 0 where there is none."""
    settings, recipe = job.settings, job.protocol.recipe_for(job.training)
    for parts in range(settings.accumulate + 1, recipe.batch_size + 1):
        try:
            divide(recipe, settings.processes, parts)
        except InputError:
            continue
        return parts
    return 0


def _evaluating(job: Job) -> Iterator[str]:
    yield from _beside(job)
    if job.settings.device.startswith("cuda"):
        yield "--device cpu"


def _beside(job: Job) -> Iterator[str]:
    """What else runs at the same time and could be left out."""
    words = list(job.settings.command)
    if job.settings.engine == "slurm":
        yield "--engine-set mem=GB (asks for more)"
        return
    if _value(words, "--jobs-per-gpu") not in ("", "1"):
        yield "--jobs-per-gpu 1"
    elif _value(words, "--jobs") != "1" and not job.settings.device.startswith("cuda"):
        yield "--jobs 1 (one trial at a time)"
    if job.settings.loaders is not None and job.settings.loaders > 1:
        yield "--loaders 1"


def _value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words[:-1] else ""


def let_go(error: BaseException) -> None:
    """Frees what the frames of ``error``, and of those it was raised from, still hold."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def free_caches() -> None:
    """Gives freed memory back to the device: the next trial, or another process, may want it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        from ltbench.train.step import RECORDING

        with RECORDING:  # of another thread: it would be spoiled
            torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
