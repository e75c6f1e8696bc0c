"""PyTorch's SGD without its compiler, which it imports to keep itself out of compiled code.

The import takes about as long as that of PyTorch itself, in every process that trains, and nothing here
compiles an optimiser. These are PyTorch's own functions, taken out of the wrappers that import.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

_STEP = unwrap(torch.optim.SGD.step)


class SGD(torch.optim.SGD):
    """:class:`torch.optim.SGD`, the same to the last bit, checkpoints included.

    Not differentiable, and its steps cannot be part of a compiled function.
    """

    add_param_group = unwrap(torch.optim.SGD.add_param_group)
    load_state_dict = unwrap(torch.optim.SGD.load_state_dict)
    state_dict = unwrap(torch.optim.SGD.state_dict)
    zero_grad = unwrap(torch.optim.SGD.zero_grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Tensor | None:  # type: ignore[override]
        with torch.no_grad():
            found: Tensor | None = _STEP(self, closure)
        return found
