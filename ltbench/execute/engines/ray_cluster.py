"""The little of Ray that the engine needs, and how a cluster is started or joined."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.errors import InputError, LtbenchError, describe
from ltbench.execute.engines.environment import environment_set, for_jobs
from ltbench.trial.environment import usable_cpus

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray tells its makers of its use unless told not to
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def start_cluster(cpus: int) -> Cluster:
    """A cluster of this process alone, with at least ``cpus`` processors; it ends with this process."""
    folder = tempfile.mkdtemp(prefix="ltbench-ray-")  # short: sockets lie in it
    with environment_set({**for_jobs(), **_QUIET}):
        return _open(
            Path(folder),
            address="local",
            num_cpus=max(cpus, usable_cpus()),
            include_dashboard=False,
            _temp_dir=folder,
        )


def join_cluster(address: str, names: Sequence[str]) -> Cluster:
    """The cluster at ``address``; its processes get ``LTBENCH_*`` and the variables ``names``.

    Raises :class:`InputError`, one line, where there is none.
    """
    wanted = {*names, *(name for name in os.environ if name.startswith("LTBENCH_"))}
    variables = {name: os.environ[name] for name in wanted if name in os.environ}
    with environment_set(_QUIET):
        return _open(None, address=address, runtime_env={"env_vars": {**for_jobs(), **variables}})


def _open(folder: Path | None, **words: Any) -> Cluster:
    ray = _ray()
    if ray.is_initialized():
        raise InputError(
            "engine 'ray': this process is in a cluster of Ray already; ray.shutdown() first"
        )
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **words)
    except Exception as error:  # of many kinds, by the version of Ray
        ray.shutdown()
        _remove(folder)
        where = (
            f"there is no cluster at {words['address']}" if folder is None else "it did not start"
        )
        raise InputError(f"engine 'ray': {where}: {describe(error)}") from error
    return Cluster(folder)


def _ray() -> Any:
    """Untyped: it is not installed everywhere, and its types are not those of every version."""
    importlib.import_module("ray.util.scheduling_strategies")
    return importlib.import_module("ray")


class TaskFailed(Exception):
    """It raised, which it would do anywhere: ltbench cannot be imported there, for example."""


class TaskLost(Exception):
    """Its process or node died, or it was cancelled."""


class Cluster:
    """A connection to Ray. folder: of a private cluster, removed at its end."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def beside_driver(self, kind: type[Any]) -> Any:
        """An actor on the driver's node, which takes no processor."""
        ray = _ray()
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        return ray.remote(num_cpus=0, scheduling_strategy=here)(kind).remote()

    def task(self, function: Callable[..., Any], needs: Mapping[str, float]) -> Any:
        """What is tried again is decided, and told, by the driver."""
        ray = _ray()
        return ray.remote(
            num_cpus=needs["CPU"],
            num_gpus=needs.get("GPU", 0),
            max_retries=0,
            **({"memory": needs["memory"]} if "memory" in needs else {}),
        )(function)

    def fits(self, needs: Mapping[str, float]) -> bool:
        """Whether any node has as much, were it idle."""
        nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
        return any(all(node.get(k, 0) >= v for k, v in needs.items()) for node in nodes)

    def wait(self, references: list[Any], seconds: float) -> list[Any]:
        """Those that ended, at once where one has, else after ``seconds``."""
        if not references:
            time.sleep(seconds)
            return []
        ready, _ = _ray().wait(references, num_returns=1, timeout=seconds, fetch_local=False)
        return list(ready)

    def get(self, reference: Any) -> Any:
        """Raises :class:`LtbenchError` where the cluster is gone."""
        ray = _ray()
        try:
            return ray.get(reference)
        except ray.exceptions.RayError as error:
            raise LtbenchError(f"the cluster of Ray is gone: {describe(error)}") from error

    def result(self, reference: Any) -> Any:
        """What the task returned. Raises :class:`TaskFailed` and :class:`TaskLost`."""
        ray = _ray()
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise TaskFailed(str(error).strip().splitlines()[-1]) from error
        except ray.exceptions.RayError as error:
            raise TaskLost(f"{type(error).__name__}: {error}") from error

    def cancel(self, reference: Any) -> None:
        _ray().cancel(reference, force=True)

    def close(self) -> None:
        _ray().shutdown()
        _remove(self._folder)


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)  # a process of Ray may still write a log
