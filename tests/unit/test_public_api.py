"""The public names: exactly these, cheap to import, safe to call twice."""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

import ltbench
from ltbench.python.words import in_python
from tests.zygote import forked_workers

PUBLIC = {
    "Architecture",
    "Backbone",
    "DataSource",
    "Hyper",
    "Method",
    "Phase",
    "Reference",
    "Strategy",
    "__version__",
    "check_plugin",
    "clean_results",
    "compare_trials",
    "decide_mix",
    "draw_test_sets",
    "evaluate_trials",
    "export_lists",
    "get_method",
    "get_strategy",
    "import_outputs",
    "list_methods",
    "list_protocols",
    "list_sources",
    "list_backbones",
    "list_strategies",
    "list_trials",
    "load_images",
    "load_logits",
    "load_model",
    "load_predictions",
    "load_protocol",
    "load_recalls",
    "load_results",
    "load_streams",
    "locate_images",
    "plan_trials",
    "reproduce_study",
    "resolve_settings",
    "run",
    "tune_method",
    "write_plugin",
    "write_report",
}
"""As ARCHITECTURE.md fixes them. A change here is a change for every user."""


def test_the_public_names_are_exactly_these() -> None:
    assert set(ltbench.__all__) == PUBLIC
    assert len(ltbench.__all__) == len(PUBLIC)
    assert set(dir(ltbench)) == PUBLIC
    for name in PUBLIC:
        assert getattr(ltbench, name) is not None


def test_anything_else_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = ltbench.no_such_name


def test_public_functions_and_classes_are_documented() -> None:
    for name in PUBLIC - {"__version__"}:
        assert inspect.getdoc(getattr(ltbench, name)), name


def test_no_submodule_carries_the_name_of_a_public_name() -> None:
    modules = {info.name for info in pkgutil.iter_modules(ltbench.__path__)}
    assert not modules & PUBLIC
    for name in PUBLIC - {"__version__"}:
        assert importlib.util.find_spec(f"ltbench.{name}") is None


def test_cheap_functions_give_the_same_twice_in_one_process(tmp_path: Path) -> None:
    for _ in range(2):
        assert "sade" in ltbench.list_methods()
        assert "stability" in ltbench.list_strategies()
        assert "digits-lt" in ltbench.list_protocols()
        assert ltbench.get_method("sade", [5, 3, 1], tau=1).name == "sade"
        assert ltbench.get_strategy("stability", epochs=2).name == "stability"
        assert ltbench.load_protocol("digits-lt").name == "digits-lt"
    assert ltbench.load_protocol("digits-lt") == ltbench.load_protocol("digits-lt")
    assert ltbench.list_methods() == ltbench.list_methods()


def test_run_and_load_results_twice_in_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run finds everything finished; its results are the same."""
    forked_workers(monkeypatch)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    results = tmp_path / "results"
    frames = []
    for _ in range(2):
        outcome = ltbench.run(
            "ce", "digits-lt", seeds=1, results=results, device="cpu", jobs=1,
            recipe={"epochs": 1}, test={"ratios": [5], "draws": 1, "partial": False},
        )  # fmt: skip
        assert not outcome.failures
        frames.append(ltbench.load_results(results))
    assert frames[0].equals(frames[1])
    assert set(frames[0]["distribution"]) == {"forward5", "uniform", "backward5"}
    needed = {
        *("protocol", "variant", "method", "method_params", "strategy", "strategy_params"),
        *("seed", "distribution", "top1", "n_draws", "trial"),
    }
    assert needed <= set(frames[0].columns)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ltbench.get_method("sad", [2, 1]), "unknown method 'sad'"),
        (lambda: ltbench.get_method("sade", [2, 1], taw=1), "did you mean 'tau'"),
        (lambda: ltbench.get_method("sade", [2, 0]), "each at least 1"),
        (lambda: ltbench.get_method("sade", [2]), "at least two whole numbers"),
        (lambda: ltbench.get_strategy("stabil"), "unknown strategy 'stabil'"),
        (lambda: ltbench.load_protocol("digits"), "unknown protocol 'digits'"),
        (lambda: ltbench.load_protocol("digits-lt", recipe={"epochs": 0}), "at least 1"),
        (lambda: ltbench.run("nope", "digits-lt"), "unknown method 'nope'"),
        (lambda: ltbench.run(cast("str", None), "digits-lt"), "methods = None must be a text"),
        (lambda: ltbench.run([cast("str", 1)], "digits-lt"), "or a list of them"),
        (lambda: ltbench.run("ce", cast("str", None)), "protocol = None must be a text"),
        (lambda: ltbench.run("ce", "digits-lt", jobs=cast("int", "two")), "'two' must be a whole"),
        (lambda: ltbench.get_method("sade", cast("list[int]", None)), "at least two whole numbers"),
        # options of the command line are arguments here
        (lambda: ltbench.run("ce", "digits-lt", data_dir="/"), "leave data_dir= out"),
        (lambda: ltbench.import_outputs([[0.5, 1.0]], [0], name="x"), "counts= is missing"),
        (
            lambda: ltbench.run("ce", "digits-lt", plugins="no.py"),
            "plugins= /.*no.py: no such file",
        ),
        (
            lambda: ltbench.run("x", "digits-lt", ensembles=cast("dict[str, str]", ["ce"])),
            "ensembles = .* must be a mapping",
        ),
        (lambda: ltbench.run("a.b", "digits-lt", ensembles={"a.b": "ce"}), "without '.'"),
        (lambda: ltbench.run("x", "digits-lt", ensembles={"x": []}), "x must list methods"),
        (
            lambda: ltbench.run(
                "x",
                "digits-lt",
                ensembles={"x": "ce"},
                **{"ensembles.x": "sade"},  # type: ignore[arg-type]
            ),
            "ensembles.x is given twice",
        ),
        (
            lambda: ltbench.plan_trials(
                "x",
                "digits-lt",
                ensembles={"x": "ce,sade"},
                **{"methods.sade.recipe.epochs": 9},  # type: ignore[arg-type]
            ),
            "different recipes .*; mixed_recipe= allows it",
        ),
        (lambda: ltbench.run("ce", "digits-lt", recipe=3), "override recipe: 'recipe' is a table"),
    ],
)
def test_wrong_input_is_a_value_error(
    call: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # results would lie there
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = (
        "{'torch', 'torchvision', 'pandas', 'matplotlib', 'seaborn', 'scipy', 'sklearn', 'numpy'}"
    )
    code = f"import sys, ltbench; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_a_remedy_names_the_argument_and_leaves_commands_alone() -> None:
    remedy = ltbench.locate_images("digits-lt", data_dir="/").remedy
    assert remedy == "leave data_dir= out"
    text = (
        "`ltbench data prepare --data-dir X` gets it, or give --data-dir, --name 'x', --counts FILE"
    )
    assert in_python(text) == (
        "`ltbench data prepare --data-dir X` gets it, or give data_dir=, name='x', counts="
    )
