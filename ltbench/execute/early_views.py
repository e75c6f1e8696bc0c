"""Views of the test images rendered while an accelerator trains: its cores have nothing else to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from ltbench.errors import LtbenchError
from ltbench.evaluate.view_processes import render_missing
from ltbench.evaluate.views import is_streamed
from ltbench.execute.context import TrialContext
from ltbench.features.dataset import FeatureDataset


class _Enough(Exception):
    pass


@contextmanager
def rendered_early(context: TrialContext) -> Iterator[None]:
    """Renders in the background what the rows of ``context`` will ask for; waits for it at the end.

    On a CPU nothing: there the cores train. What goes wrong is told when a row asks for the views.
    Ends early where the body raises, or the trial is to stop.
    """
    wanted = any("views" in row.needs for row in context.job.resolve_rows(context.registries))
    test = context.task.splits.test
    stored = not is_streamed(test) and not isinstance(test, FeatureDataset)
    if context.device.type == "cpu" or not wanted or not stored:
        yield
        return
    left = threading.Event()

    def stop(done: int, total: int) -> None:
        if left.is_set() or context.should_stop():
            raise _Enough

    def work() -> None:
        with suppress(_Enough, LtbenchError, OSError):
            splits, views = context.task.splits, context.job.protocol.views
            render_missing(splits.test, views, torch.get_num_threads(), progress=stop)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        left.set()
        raise
    finally:
        thread.join()
