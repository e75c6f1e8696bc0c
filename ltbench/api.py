"""The public functions that name, train and evaluate; their companions are in ``ltbench.python``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ltbench.errors import InputError
from ltbench.protocol.protocol import Protocol
from ltbench.python.arguments import (
    AnyPath,
    Ensembles,
    Plugins,
    Seeds,
    dotted,
    plugin_files,
)
from ltbench.python.execution import make_request

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from ltbench.execute.request import Request
    from ltbench.execute.run import Outcome
    from ltbench.method import Method
    from ltbench.strategy import Strategy


_COUNTS = "counts must be at least two whole numbers, each at least 1"


def list_methods(plugins: Plugins = ()) -> list[str]:
    """Names of all usable methods, sorted."""
    from ltbench.registry import load_registries

    return sorted(load_registries(plugin_files(plugins)).methods.plugins)


def list_strategies(plugins: Plugins = ()) -> list[str]:
    """Names of all usable test-time strategies, sorted."""
    from ltbench.registry import load_registries

    return sorted(load_registries(plugin_files(plugins)).strategies.plugins)


def list_protocols(plugins: Plugins = ()) -> list[str]:
    """Names of all protocols, sorted."""
    from ltbench.protocol.registry import find_protocols

    return sorted(find_protocols(plugin_files(plugins)).files)


def list_sources(plugins: Plugins = ()) -> list[str]:
    """Names of all usable sources of images, sorted: what ``data.source`` of a protocol may name."""
    from ltbench.registry import load_sources

    return sorted(load_sources(plugin_files(plugins)).plugins)


def list_backbones(plugins: Plugins = ()) -> list[str]:
    """Names of all usable backbones, sorted: what ``model.backbone`` of a protocol may name."""
    from ltbench.registry import load_backbones

    return sorted(load_backbones(plugin_files(plugins)).plugins)


def get_method(
    name: str, counts: Tensor | Sequence[int], *, plugins: Plugins = (), **hyper: Any
) -> Method[Any]:
    """A method for training images per class ``counts`` ``(C,)``.

    name: ``"sade"``, or with hyper-parameters in brackets, ``"sade[tau=1]"``; plugins: a ``.py``
    file with methods, or several. A hyper-parameter that is called like an argument of this
    function is given in brackets. Raises :class:`ValueError` for an unknown name or
    hyper-parameter, for counts that are no whole numbers of at least 1, and for a broken plugin.
    """
    import torch

    from ltbench.registry import load_registries

    name, hyper = _with_brackets(name, hyper)
    plugin = load_registries(plugin_files(plugins)).methods.get(name)
    try:
        values = torch.as_tensor(counts)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(_COUNTS) from None
    whole = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    if not whole or values.ndim != 1 or len(values) < 2 or bool((values < 1).any()):
        raise InputError(_COUNTS)
    return plugin.cls(values.long(), plugin.cls.hyper_type.from_mapping(hyper, name))


def get_strategy(name: str, *, plugins: Plugins = (), **hyper: Any) -> Strategy[Any]:
    """A test-time strategy, ``"em"`` or ``"em[map=3]"``; plugins: files with strategies.

    Raises :class:`ValueError` for an unknown name or parameter and for a broken plugin.
    """
    from ltbench.registry import load_registries

    name, hyper = _with_brackets(name, hyper)
    plugin = load_registries(plugin_files(plugins)).strategies.get(name)
    return plugin.cls(plugin.cls.hyper_type.from_mapping(hyper, name))


def _with_brackets(name: str, hyper: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    from ltbench.names import parse_call

    call = parse_call(name)
    for key in call.params:
        if key in hyper:
            raise InputError(f"{name!r}: {key!r} is given twice")
    return call.name, {**call.params, **hyper}


def load_protocol(name: str, *, plugins: Plugins = (), **overrides: Any) -> Protocol:
    """A protocol by name or ``.toml`` file, with overrides.

    ``load_protocol("cifar100-lt", recipe={"epochs": 40}, train={"imbalance": 50})``; dotted keys
    work too: ``load_protocol("digits-lt", **{"recipe.epochs": 5})``. plugins: ``.toml`` files of
    protocols that are then known by name. Raises :class:`ValueError`.
    """
    from ltbench.protocol.file import load_protocol_config

    return load_protocol_config(name, dotted(overrides), plugins=plugin_files(plugins))


def run(
    methods: str | Iterable[str],
    protocol: str,
    *,
    seeds: Seeds = None,
    results: AnyPath = "results",
    data_dir: AnyPath | None = None,
    device: str = "auto",
    precision: str = "default",
    jobs: int | None = None,
    jobs_per_gpu: int | Literal["auto"] | None = None,
    loaders: int | None = None,
    processes: int = 1,
    accumulate: int = 1,
    speed: str = "auto",
    plugins: Plugins = (),
    mode: str = "clean",
    arrival: str | Iterable[str] = (),
    ensembles: Ensembles | None = None,
    mixed_recipe: bool = False,
    engine: str = "local",
    engine_settings: Mapping[str, Any] | None = None,
    detach: bool = False,
    timeout: str = "",
    track: str | Iterable[str] = (),
    quiet: bool = True,
    **overrides: Any,
) -> Outcome:
    """Trains and evaluates, as ``ltbench run`` does; finished work is skipped.

    methods: rows such as ``"sade,ce+oracle"`` or a list of them; seeds: a count or a list;
    arrival: ``"batch:64"`` or ``"single"``, to meet every test set as a stream, too; ensembles:
    rows of several networks by name, ``{"plain": ["ce", "ce", "balanced-softmax"]}`` (``"3*ce"``
    needs none), or of imports with one another; mixed_recipe: let their members be trained by
    different recipes; engine: where trials run, ``"local"``, ``"slurm"`` or ``"ray"``, with its
    settings, such as ``{"partition": "gpu"}``; detach: leave them running there, for the same call
    without it to collect; loaders: processes beside each trial that open images of lists, by default
    none on a CPU; processes: that train each trial together; accumulate: parts in which each works off
    its share of a batch (both need ``recipe.norm_batch``, and change a result by rounding alone);
    timeout: longest time of each trial, ``"90m"`` (s, m, h or d), after which it is ended;
    speed: ``"auto"`` (what was measured to pay on the device), ``"plain"``, or some of ``graph``,
    ``grouped``, ``compile`` and ``augment`` joined by ``+``; changes a result by rounding alone;
    track: trackers, such as ``"tensorboard"``, that are told how trials go;
    quiet: tell failures only; overrides as for :func:`load_protocol`.

    Works in processes of its own: a script needs no ``if __name__ == "__main__"``, and a running
    event loop (a notebook) does not matter. Returns what finished and what failed
    (``outcome.failures``: a trial that fails stops no other). Raises :class:`ValueError` for wrong
    input, before any work, and :class:`KeyboardInterrupt` when interrupted; the same call
    continues.
    """
    request = make_request(
        methods, protocol, seeds, results, data_dir, plugins, overrides,
        device=device, precision=precision, jobs=jobs, jobs_per_gpu=jobs_per_gpu, loaders=loaders,
        processes=processes, accumulate=accumulate, speed=speed,
        mode=mode, arrivals=_several(arrival),
        ensembles=ensembles, mixed_recipe=mixed_recipe,
        engine=engine, engine_settings=dict(engine_settings or {}), detach=detach,
        timeout=timeout, track=_several(track),
    )  # fmt: skip
    return _carry_out(request, quiet)


def evaluate_trials(
    methods: str | Iterable[str],
    protocol: str,
    *,
    seeds: Seeds = None,
    results: AnyPath = "results",
    data_dir: AnyPath | None = None,
    device: str = "auto",
    precision: str = "default",
    jobs: int | None = None,
    plugins: Plugins = (),
    mode: str = "clean",
    arrival: str | Iterable[str] = (),
    ensembles: Ensembles | None = None,
    mixed_recipe: bool = False,
    engine: str = "local",
    engine_settings: Mapping[str, Any] | None = None,
    detach: bool = False,
    timeout: str = "",
    quiet: bool = True,
    **overrides: Any,
) -> Outcome:
    """Adds strategies, test distributions or streams to finished trials, without training.

    Arguments as for :func:`run`; ``test={"ratios": [2, 30]}`` adds test sets. Raises
    :class:`ValueError` for wrong input and where a trial is not trained yet.
    """
    request = make_request(
        methods, protocol, seeds, results, data_dir, plugins, overrides,
        device=device, precision=precision, jobs=jobs, mode=mode, arrivals=_several(arrival),
        ensembles=ensembles, mixed_recipe=mixed_recipe,
        engine=engine, engine_settings=dict(engine_settings or {}), detach=detach,
        timeout=timeout, train=False,
    )  # fmt: skip
    return _carry_out(request, quiet)


def plan_trials(
    methods: str | Iterable[str],
    protocol: str,
    *,
    seeds: Seeds = None,
    results: AnyPath = "results",
    data_dir: AnyPath | None = None,
    device: str = "auto",
    precision: str = "default",
    jobs: int | None = None,
    plugins: Plugins = (),
    mode: str = "clean",
    arrival: str | Iterable[str] = (),
    ensembles: Ensembles | None = None,
    mixed_recipe: bool = False,
    **overrides: Any,
) -> pd.DataFrame:
    """What :func:`run` would do, as ``ltbench run --dry-run``: trains, downloads, writes nothing.

    Returns one row per trial: ``protocol, variant, training, seed, state`` (finished, interrupted,
    failed, new, or unknown where the images are not here), ``complete`` (nothing is left to do),
    ``rows`` (how many are evaluated on it, references included), ``labels`` (theirs, by commas),
    ``seconds`` and ``bytes`` (estimates of what is left), ``trial`` (hash, empty where
    unknown) and ``folder``. Raises :class:`ValueError` for wrong input.
    """
    from ltbench.imported.split_request import split_request
    from ltbench.python.execution import plan_request
    from ltbench.python.trials import plan_frame

    request = make_request(
        methods, protocol, seeds, results, data_dir, plugins, overrides,
        device=device, precision=precision, jobs=jobs, mode=mode, arrivals=_several(arrival),
        ensembles=ensembles, mixed_recipe=mixed_recipe,
        dry_run=True,
    )  # fmt: skip
    split = split_request(request)
    plan = None if split.trials is None else plan_request(split.trials, quiet=True)
    return plan_frame(plan, split.joint)


def _carry_out(request: Request, quiet: bool) -> Outcome:
    from ltbench.python.execution import carry_out

    return carry_out(request, quiet=quiet)


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
