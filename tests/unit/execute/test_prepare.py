"""From a request to a plan: whatever is wrong is said before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ltbench.data.sources import open_data
from ltbench.errors import InputError
from ltbench.execute import prepare as module
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever opens images before the request is known to be right fails the test."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("images were opened")

    monkeypatch.setattr(module, "open_data", refuse)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


def request(methods: str = "ce", protocol: str = "cifar100-lt", **changes: Any) -> Request:
    return Request(methods, protocol, **{"device": "cpu", **changes})


@pytest.mark.parametrize(
    ("methods", "changes", "message"),
    [
        ("", {}, "the list is empty"),
        ("ce,ce", {}, "'ce' is named twice"),
        ("sad", {}, "unknown method 'sad'.*did you mean 'sade'"),
        ("sade+orakle", {}, "unknown strategy 'orakle'.*did you mean 'oracle'"),
        ("sade[ta=1]", {}, "sade has no 'ta'.*did you mean 'tau'"),
        ("sade[tau=x]", {}, "sade.tau = 'x' must be a number"),
        ("sade+stability[epochs=0]", {}, "epochs = 0 must be at least 1"),
        (
            "ce",
            {"precision": "fp8"},
            "precision 'fp8' must be one of: default, float32, tf32, bf16",
        ),
        ("ce", {"mode": "dirty"}, "mode 'dirty' must be one of: clean, augmented"),
        ("ce", {"jobs": 0}, "jobs = 0 must be a whole number of at least 1"),
        ("ce", {"jobs_per_gpu": 0}, "jobs per GPU = 0 must be a whole number of at least 1"),
        ("ce", {"loaders": -1}, "loaders = -1 must be a whole number from 0 to 256"),
        ("ce", {"loaders": 257}, "loaders = 257 must be a whole number from 0 to 256"),
        ("ce", {"loaders": True}, "loaders = True must be a whole number from 0 to 256"),
        ("ce", {"jobs_per_gpu": 2}, "--jobs-per-gpu needs a CUDA device; this run uses cpu"),
        ("ce", {"jobs_per_gpu": "auto"}, "--jobs-per-gpu needs a CUDA device; this run uses cpu"),
        ("ce", {"jobs_per_gpu": "many"}, "jobs per GPU = 'many' must be a whole number"),
        ("ce", {"speed": "graph"}, "--speed graph needs a CUDA device; this run uses cpu"),
        ("ce", {"speed": "fast"}, "speed 'fast' must be auto, plain, or some of graph"),
        ("ce", {"processes": 0}, "processes = 0 must be a whole number of at least 1"),
        ("ce", {"accumulate": 1.5}, "accumulate = 1.5 must be a whole number of at least 1"),
        ("ce", {"device": "abacus"}, "abacus"),
        ("ce", {"seeds": (1, 1)}, "seeds = .* must (be whole numbers of at least 0|differ)"),
        ("ce", {"seeds": ()}, "seeds = .* must (be whole numbers of at least 0|differ)"),
        ("ce", {"seeds": (-1,)}, "seeds = .* must (be whole numbers of at least 0|differ)"),
        ("ce", {"protocol": "cifar"}, "unknown protocol 'cifar'"),
        ("ce", {"overrides": {"train.imbalance": 0}}, "imbalance = 0.0 must be at least 1"),
        ("ce", {"overrides": {"recipe.epochs": "0"}}, "epochs = 0 must be at least 1"),
        # settings of a method that does not exist, or is not even run
        (
            "ce",
            {"overrides": {"methods.sdae.tau": 1}},
            "unknown method 'sdae'.*did you mean 'sade'",
        ),
        ("ce", {"overrides": {"methods.sade.tua": 1}}, "sade has no 'tua'.*did you mean 'tau'"),
        ("ce", {"overrides": {"methods.sade.tau": -1}}, "sade: tau = -1.0 must be at least 0"),
        ("ce", {"overrides": {"strategies.stabilty.epochs": 1}}, "did you mean 'stability'"),
        ("ce", {"overrides": {"strategies.stability.epoch": 1}}, "did you mean 'epochs'"),
    ],
)
def test_wrong_requests_are_refused_in_one_line_before_images_are_opened(
    methods: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        prepare(request(methods, **changes))
    assert "\n" not in str(caught.value)


def test_settings_of_a_broken_plugin_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from ltbench.registry import Broken, Registries, Registry, load_registries

    good = load_registries()
    methods: Registry[Any] = Registry(
        "method", good.methods.plugins, {"bad": Broken("bad", "x", "y")}
    )
    monkeypatch.setattr(module, "load_registries", lambda p: Registries(methods, good.strategies))
    plan = prepare(request(overrides={"methods.bad.tau": 1}, dry_run=True))
    assert plan.trials


def test_a_plan_without_images_is_possible() -> None:
    plan = prepare(request("sade,ce+none", seeds=(0, 3), dry_run=True))
    assert [(t.job.training, t.job.seed) for t in plan.trials] == [
        *(("sade", 0), ("ce", 0), ("sade", 3), ("ce", 3)),  # seed by seed
    ]


@pytest.fixture
def images(no_data: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded images may be opened after all."""
    monkeypatch.setattr(module, "open_data", open_data)


@pytest.mark.usefixtures("images")
def test_folders_are_tried_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    prepare(request("sade", protocol="digits-lt", results=tmp_path / "new" / "folder"))
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"results folder .* is not writable"):
        prepare(request("sade", protocol="digits-lt", results=tmp_path / "file"))
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cache folder .* is not writable"):
        prepare(request("sade", protocol="digits-lt", results=tmp_path / "results"))
    assert prepare(request("ce", protocol="digits-lt", results=tmp_path / "results")).trials


@pytest.mark.usefixtures("images")
def test_evaluating_trains_nothing(tmp_path: Path) -> None:
    asked = request("ce", protocol="digits-lt", results=tmp_path, train=False)
    with pytest.raises(InputError, match="ce with seed 0 is not trained yet"):
        prepare(asked)
    missing = request("ce", protocol="digits-lt", results=tmp_path / "gone", train=False)
    with pytest.raises(InputError, match="does not exist"):
        prepare(missing)
    assert not (tmp_path / "gone").exists()


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    "body",
    [
        "def bias(self):\n        raise KeyError('no bias today')",
        "def architecture(self):\n        raise KeyError('no bias today')",
        "def training_identity(self):\n        raise KeyError('no bias today')",
        "def __init__(self, counts, hyper):\n        raise KeyError('no bias today')",
    ],
)
def test_a_plugin_that_raises_while_planning_gives_one_line(tmp_path: Path, body: str) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(
        "from ltbench import Method\n\nclass Bad(Method):\n    name = title = 'bad'\n"
        "    def loss(self, logits, targets, *, progress, rng=None):\n        return logits.sum()\n"
        f"    {body}\n"
    )
    asked = request("ce,bad", protocol="digits-lt", results=tmp_path / "r", plugins=(str(plugin),))
    with pytest.raises(InputError, match=r"method 'bad' .* cannot be used: KeyError") as caught:
        prepare(asked)
    assert "\n" not in str(caught.value)
    assert str(plugin) in str(caught.value)


@pytest.mark.usefixtures("images")
def test_an_edited_plugin_is_read_again(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    text = (
        "from ltbench import Method\n\nclass Mine(Method):\n    name, title = 'mine', {title!r}\n"
        "    def loss(self, logits, targets, *, progress, rng=None):\n        return logits.sum()\n"
    )
    asked = request("mine", protocol="digits-lt", results=tmp_path / "r", plugins=(str(plugin),))
    hashes = set()
    for title in ("first", "second"):
        plugin.write_text(text.format(title=title))
        hashes.add(prepare(asked).trials[0].trial.hash)
    assert len(hashes) == 2


def test_bf16_without_its_instructions_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_data", open_data)
    for native, warned in ((False, True), (True, False)):
        monkeypatch.setattr(module, "bf16_is_native", lambda device, native=native: native)
        plan = prepare(request("ce", "digits-lt", precision="bf16", dry_run=True))
        assert any("no bfloat16 instructions" in note for note in plan.notes) is warned
    plan = prepare(request("ce", "digits-lt", dry_run=True))
    assert not any("bfloat16" in note for note in plan.notes)


@pytest.mark.parametrize("option", ["processes", "accumulate"])
def test_a_batch_that_cannot_be_shared_is_told_before_any_work(option: str) -> None:
    with pytest.raises(
        InputError, match=f"--{option} 2 cannot share a batch of 128: BatchNorm sees"
    ):
        prepare(request(dry_run=True, **{option: 2}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "ray=head:6379"}, "auto is for the local engine, not for 'ray=head:6379'"),
        ({"timeout": "2h"}, "auto and --timeout do not go together .a thread cannot be ended"),
        ({"speed": "graph+compile"}, "auto and --speed graph.compile do not go together"),
        ({"speed": "augment"}, "auto and --speed augment do not go together"),
    ],
)
def test_what_threads_of_one_process_cannot_have(changes: dict[str, Any], message: str) -> None:
    from ltbench.execute.time_limit import limit_seconds

    request = Request("ce", "digits-lt", jobs_per_gpu="auto", **changes)
    with pytest.raises(InputError, match=message):
        module._check_threads(request, limit_seconds(request.timeout))
    plain = replace(request, engine="local", timeout="", speed="graph+grouped")
    module._check_threads(plain, 0.0)
