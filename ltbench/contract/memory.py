"""What a plugin holds: to tell what it remembers from one call to the next, and what could learn."""

from __future__ import annotations

import array
import dataclasses
import functools
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, GeneratorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ltbench.method import Method, overrides
from ltbench.plugins.file import PLUGIN_PACKAGE
from ltbench.strategy import Session, Strategy

Memory = dict[str, Any]
"""Places such as ``self.seen``, and what lies there as nested tuples and dicts that compare by ``==``."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_LIBRARIES = frozenset({*sys.stdlib_module_names, "torch", "numpy", "scipy", "pandas"})
_OPENED = (nn.Module, torch.optim.Optimizer, SimpleNamespace, Method, Strategy, Session)
_DEPTH = 8


def memory(*plugins: object) -> Memory:
    """What the instances hold, with their classes and the modules of those classes."""
    return {name: _fixed(value) for plugin in plugins for name, value in places(plugin)}


def places(plugin: object) -> Iterator[tuple[str, object]]:
    """Every named place where a plugin can keep something, with what is there."""
    kept = set()
    if isinstance(plugin, Method):
        kept = {"extra"} if overrides(plugin, "build") else set()
        kept |= {"teacher"} if overrides(plugin, "parent") else set()
    for name, value in vars(plugin).items():
        if name not in kept:  # trained and in the checkpoint
            yield f"self.{name}", value
    modules: dict[str, ModuleType] = {}
    for cls in type(plugin).__mro__:
        if _of_a_library(cls.__module__):
            continue
        modules |= _with_those_beside(cls.__module__)
        for name, value in vars(cls).items():
            if not name.startswith("__") and name != "_abc_impl":
                yield f"{cls.__name__}.{name}", value
    own = sys.modules.get(type(plugin).__module__)
    for module in modules.values():
        for name, value in vars(module).items():
            if not name.startswith("__"):
                beside = "" if module is own else f"{module.__name__.rpartition('.')[2]}."
                yield f"the global {beside}{name}", value


def _with_those_beside(name: str) -> dict[str, ModuleType]:
    """The module and, of a plugin file, the helper modules that it has imported so far."""
    package = name.partition(".")[0]
    if not package.startswith(PLUGIN_PACKAGE):
        return {name: sys.modules[name]} if name in sys.modules else {}
    beside = f"{package}."
    return {each: sys.modules[each] for each in sorted(sys.modules) if each.startswith(beside)}


def difference(one: Memory, other: Memory) -> str | None:
    """The first place that both know and that holds something else; what only one knows is a memo."""
    return next(
        (name for name in one.keys() & other.keys() if not _same(one[name], other[name])), None
    )


def learnable(plugin: object) -> str | None:
    """The first place that holds a tensor with ``requires_grad``, for example ``self.scale``."""
    for name, value in places(plugin):
        found = _learnable(value, name)
        if found is not None:
            return found
    return None


def global_randomness() -> Any:
    """The state of the generators that belong to everybody: torch's, NumPy's and Python's."""
    return _bytes(torch.get_rng_state()), _fixed(np.random.get_state()), random.getstate()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _fixed(value: Any, within: tuple[int, ...] = ()) -> Any:
    """``value`` as it is now; what is code or another library's object is not looked into.

    within: what holds it, since objects may hold each other.
    """
    if isinstance(value, _PLAIN):
        return repr(value)
    if len(within) > _DEPTH or id(value) in within:
        return None
    inner = (*within, id(value))
    if isinstance(value, Tensor):
        return (str(value.dtype), tuple(value.shape), _bytes(value))
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    if isinstance(value, bytearray | memoryview | array.array):
        return bytes(value)
    if isinstance(value, torch.Generator):
        return _bytes(value.get_state())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, random.Random):
        return repr(value.getstate())
    if isinstance(value, Mapping):
        return {repr(key): _fixed(held, inner) for key, held in value.items()}
    if isinstance(value, list | tuple | deque):
        return tuple(_fixed(held, inner) for held in value)
    if isinstance(value, set | frozenset):
        return tuple(sorted(map(repr, value)))
    held = _inside(value)
    if held is not None:
        return {name: _fixed(each, inner) for name, each in held.items()}
    text = repr(value) if type(value).__module__ == "itertools" else ""
    return text if " at 0x" not in text else None


def _inside(value: Any) -> dict[str, Any] | None:
    """What an object or function keeps under names; None for what is not the plugin's own."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, FunctionType):
        return None if _of_a_library(value.__module__) else _of_function(value)
    if isinstance(value, functools.partial):
        return {"function": value.func, "arguments": value.args, "keywords": value.keywords}
    if isinstance(value, MethodType):
        return {"object": value.__self__, "function": value.__func__}
    if isinstance(value, GeneratorType):
        return None if value.gi_frame is None else dict(value.gi_frame.f_locals)
    if isinstance(value, type | ModuleType):
        return None
    if (
        not _of_a_library(type(value).__module__)
        or isinstance(value, _OPENED)
        or dataclasses.is_dataclass(value)
    ):
        slots = {
            name: getattr(value, name)
            for cls in type(value).__mro__
            for name in _slots(cls)
            if hasattr(value, name)
        }
        return {**slots, **getattr(value, "__dict__", {})}
    return None


def _of_function(function: FunctionType) -> dict[str, Any]:
    """Its attributes, its defaults and the variables that it closes over."""
    kept = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__}
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        try:
            kept[name] = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
    return {**vars(function), **kept}


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    named = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in named if name not in ("__dict__", "__weakref__"))


def _of_a_library(module: str) -> bool:
    """Also of ltbench itself, but for the folders of methods, where anybody may put a file."""
    first = module.split(".")[0]
    return first in _LIBRARIES or (first == "ltbench" and not module.startswith("ltbench.methods."))


def _bytes(value: Tensor) -> bytes:
    if value.is_meta or value.is_sparse:
        return b""
    raw = value.detach().cpu().contiguous().flatten()
    return raw.view(torch.uint8).numpy().tobytes()


def _learnable(value: Any, name: str, depth: int = 0) -> str | None:
    if isinstance(value, Tensor):
        return name if value.requires_grad else None
    if isinstance(value, nn.Module):
        inner: Any = {f".{key}": each for key, each in value.named_parameters()}
    elif isinstance(value, Mapping):
        inner = {f"[{key!r}]": each for key, each in value.items()}
    elif isinstance(value, list | tuple | deque):
        inner = {f"[{i}]": each for i, each in enumerate(value)}
    elif isinstance(value, FunctionType | staticmethod | classmethod):
        return None
    else:
        inner = {f".{key}": each for key, each in (_inside(value) or {}).items()}
    if depth > _DEPTH:
        return None
    for key, each in inner.items():
        found = _learnable(each, f"{name}{key}", depth + 1)
        if found is not None:
            return found
    return None
