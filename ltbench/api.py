"""The public functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltbench.errors import InputError
from ltbench.protocol import Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from ltbench.execute.local import Outcome
    from ltbench.method import Method
    from ltbench.strategy import Strategy


def list_methods(plugins: Sequence[str] = ()) -> list[str]:
    """Names of all usable methods, sorted."""
    from ltbench.registry import load_registries

    return sorted(load_registries(plugins).methods.plugins)


def list_strategies(plugins: Sequence[str] = ()) -> list[str]:
    """Names of all usable test-time strategies, sorted."""
    from ltbench.registry import load_registries

    return sorted(load_registries(plugins).strategies.plugins)


def list_protocols(plugins: Sequence[str] = ()) -> list[str]:
    """Names of all protocols, sorted."""
    from ltbench.protocol_registry import find_protocols

    return sorted(find_protocols(plugins).files)


def get_method(name: str, counts: Tensor | Sequence[int], **hyper: Any) -> Method[Any]:
    """A method for training images per class ``counts`` ``(C,)``.

    Raises :class:`ValueError` for an unknown name or hyper-parameter.
    """
    import torch

    from ltbench.registry import load_registries

    plugin = load_registries().methods.get(name)
    values = torch.as_tensor(counts)
    whole = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    if not whole or values.ndim != 1 or len(values) < 2 or bool((values < 1).any()):
        raise InputError("counts must be at least two whole numbers, each at least 1")
    return plugin.cls(values.long(), plugin.cls.hyper_type.from_mapping(hyper, name))


def get_strategy(name: str, **hyper: Any) -> Strategy[Any]:
    """A test-time strategy. Raises :class:`ValueError` for an unknown name or parameter."""
    from ltbench.registry import load_registries

    plugin = load_registries().strategies.get(name)
    return plugin.cls(plugin.cls.hyper_type.from_mapping(hyper, name))


def load_protocol(name: str, **overrides: Any) -> Protocol:
    """A protocol by name or ``.toml`` file, with overrides.

    ``load_protocol("cifar100-lt", recipe={"epochs": 40}, train={"imbalance": 50})``; dotted keys
    work too: ``load_protocol("digits-lt", **{"recipe.epochs": 5})``. Raises :class:`ValueError`.
    """
    from ltbench.protocol_file import load_protocol_config

    return load_protocol_config(name, _dotted(overrides))


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def run(
    methods: str | Sequence[str],
    protocol: str,
    *,
    seeds: int | Sequence[int] | None = None,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    device: str = "auto",
    precision: str = "float32",
    jobs: int | None = None,
    jobs_per_gpu: int | None = None,
    compile: bool = False,
    cuda_graph: bool = False,
    plugins: Sequence[str] = (),
    mode: str = "clean",
    arrival: str | Sequence[str] = (),
    quiet: bool = True,
    **overrides: Any,
) -> Outcome:
    """Trains and evaluates, as ``ltbench run`` does; finished work is skipped.

    methods: rows such as ``"sade,ce+oracle"`` or a list of them; seeds: a count or a list; overrides
    as for :func:`load_protocol`. Returns what finished and what failed; raises :class:`ValueError`
    for wrong input, before any work.
    """
    from rich.console import Console

    from ltbench.execute.local import execute
    from ltbench.execute.progress import RunProgress
    from ltbench.execute.request import Request, prepare
    from ltbench.seed_list import read_seeds

    request = Request(
        methods=methods if isinstance(methods, str) else ",".join(methods),
        protocol=protocol,
        seeds=read_seeds(seeds) if seeds is not None else None,
        results=Path(results),
        data_dir=Path(data_dir) if data_dir is not None else None,
        device=device,
        precision=precision,
        jobs=jobs,
        jobs_per_gpu=jobs_per_gpu,
        compile=compile,
        cuda_graph=cuda_graph,
        plugins=tuple(plugins),
        overrides=_dotted(overrides),
        mode=mode,
        arrivals=(arrival,) if isinstance(arrival, str) else tuple(arrival),
    )
    plan = prepare(request)
    with RunProgress(plan, Console(), quiet=quiet) as progress:
        return execute(plan, listen=progress)
