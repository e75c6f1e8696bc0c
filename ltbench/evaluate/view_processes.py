"""Views rendered in several processes, where they are many enough to be worth starting these."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from ltbench.data.dataset import Dataset, Images
from ltbench.evaluate.view_images import Chunk, Progress, missing_pairs, view_pair
from ltbench.protocol.protocol import ViewsConfig

_WORTH = 50_000  # views: below, starting the processes (torch and torchvision, each) costs more
_FEWEST = 4  # processes: two or three hardly make up for their start
_AHEAD = 2  # chunks for each process that are read before their turn


def render_missing(
    test: Dataset, views: ViewsConfig, processes: int, *, progress: Progress | None = None
) -> None:
    """Makes all pairs that the cache lacks, in ``processes`` processes; the bytes are those of one.

    Does nothing where there are too few views or too few processes for it to pay: then
    :func:`ltbench.evaluate.view_images.view_pair` makes each when it is asked for. ``progress`` as there,
    over all pairs. Raises what it raises.
    """
    missing = missing_pairs(test, views)
    each = 2 * len(test)
    if processes < _FEWEST or each * len(missing) < _WORTH:
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy locks, and a device's state
    with ProcessPoolExecutor(
        processes, context, initializer=_live_no_longer_than_the_parent
    ) as pool:

        def over(function: Callable[[Chunk], Images], chunks: Iterable[Chunk]) -> Iterator[Images]:
            waiting: deque[Future[Images]] = deque()
            for chunk in chunks:
                waiting.append(pool.submit(function, chunk))
                if len(waiting) > _AHEAD * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        for place, k in enumerate(missing):
            before = place * each

            def told(done: int, _: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, each * len(missing))

            view_pair(test, views, k, progress=told, over=over)


def _live_no_longer_than_the_parent() -> None:
    """However it dies; and an interrupt is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
