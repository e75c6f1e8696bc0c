"""How the processor is shared between trials."""

from __future__ import annotations

import torch

from ltbench.environment import usable_cpus
from ltbench.method import Architecture
from ltbench.models.resnet import count_macs
from ltbench.protocol import Protocol

# Below this many multiply-accumulates a training step's layers are too small to share: measured on
# digits-lt (2e7 a step), a second thread makes a trial slower and a second trial costs nothing.
_WORTH_SHARING = 1e9


def share(protocol: Protocol, jobs: int | None, most: int, device: torch.device) -> tuple[int, int]:
    """(trials side by side, threads of each). ``jobs`` None: as many as pay off; never over ``most``.

    On a CPU small networks run one trial a core, larger ones one trial on all cores; on an
    accelerator one trial at a time.
    """
    cpus = usable_cpus()
    data = protocol.data
    macs = count_macs(protocol.model.backbone, data.classes, Architecture(), data.image_size)
    small = macs * protocol.recipe.batch_size < _WORTH_SHARING
    if jobs is None:
        jobs = cpus if small and device.type == "cpu" else 1
    jobs = min(jobs, most)
    return jobs, 1 if small else max(1, cpus // jobs)
