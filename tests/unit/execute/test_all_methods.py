"""``all`` stands for every method; who cannot be had is told in a line and left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ltbench.errors import InputError
from ltbench.execute.plan import Plan
from ltbench.execute.prepare import prepare
from ltbench.execute.request import Request
from ltbench.registry import load_registries

LONG = """
from ltbench import Method, Phase
from ltbench.method import Parent


class ThreeStages(Method):
    name, title = "three-stages", "Three stages"

    def phases(self):
        return tuple(Phase(str(i)) for i in range(3))

    def loss(self, logits, targets, *, progress, rng=None):
        return logits.logsumexp(-1).mean() - logits[range(len(targets)), 0, targets].mean()


class Orphan(Method):
    name, title = "orphan", "Of a method that is not there"

    def parent(self):
        return Parent("nobody")

    def loss(self, logits, targets, *, progress, rng=None):
        return logits.logsumexp(-1).mean() - logits[range(len(targets)), 0, targets].mean()


class Loud(Method):
    name, title = "loud", "A loss that is no number"

    def loss(self, logits, targets, *, progress, rng=None):
        return logits
"""


def planned(methods: str, results: Path, **changes: Any) -> Plan:
    request = Request(
        methods=methods, protocol="digits-lt", seeds=(0,), results=results, dry_run=True
    )
    return prepare(Request(**{**vars(request), **changes}))


def labels(plan: Plan) -> set[str]:
    return {row.label for trial in plan.trials for row in trial.rows}


def test_all_is_every_method_with_its_own_strategy(tmp_path: Path) -> None:
    plan = planned("all", tmp_path)
    assert plan.left_out == [
        "zero-shot is left out: method 'zero-shot' needs features of the class names, which source "
        "'digits' has not"
    ]
    methods = load_registries().methods.plugins
    assert methods.keys() - {"zero-shot"} <= labels(
        plan
    )  # a label without strategy: the method's own
    assert {"sade", "sade+none"} <= labels(plan)


def test_all_with_a_strategy_leaves_out_who_cannot_have_it(tmp_path: Path) -> None:
    plan = planned("all+stability", tmp_path)
    assert {"sade", "ride+stability", "mdcs+stability"} <= labels(plan)
    assert "ce" not in {trial.training for trial in plan.trials}
    assert (
        "ce+stability is left out: strategy 'stability' needs at least 2 experts, ce has 1"
        in plan.left_out
    )
    assert all(line.count("\n") == 0 for line in plan.left_out)
    several = planned("all,all+em,ce+em", tmp_path)
    assert {"ce", "ce+em", "sade", "sade+em", "tau-norm"} <= labels(several)
    (line,) = (line for line in several.left_out if line.startswith("tau-norm+em"))
    assert "no closed form" in line


def test_a_plugin_belongs_to_all_unless_it_cannot_be_trained(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text(LONG)
    plan = planned("all", tmp_path, plugins=(str(file),))
    assert "three-stages" in labels(plan)
    loud, orphan, names = plan.left_out
    assert names.startswith("zero-shot is left out: ")
    assert "loud is left out: method 'loud'" in loud
    assert "nothing was started" not in loud
    assert orphan.startswith("orphan is left out: ")
    assert "unknown method 'nobody'" in orphan
    short = planned("all", tmp_path, plugins=(str(file),), overrides={"recipe.epochs": 2})
    assert "three-stages is left out: 3 phases need at least as many epochs, not 2" in (
        short.left_out
    )
    with pytest.raises(InputError, match="unknown method 'nobody'"):  # by name it is an error
        planned("all,orphan", tmp_path, plugins=(str(file),))


def test_what_is_named_beside_all_is_made_once(tmp_path: Path) -> None:
    plan = planned("ce,all,sade+none", tmp_path)
    trainings = [trial.training for trial in plan.trials]
    assert len(trainings) == len(set(trainings))
    assert not next(t for t in plan.trials if t.training == "ce").rows[0].optional


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("all[tau=1]", "'all' stands for every method as it is"),
        ("3*all", "'all' stands for every method as it is"),
        ("all,all", "'all' is named twice"),
        ("all+tild", "unknown strategy 'tild'.*did you mean 'tilt'"),
        ("all+em[mad=3]", "mad"),
        ("all+bcts-em", "of `all` nothing is left under digits-lt: .*needs labelled training"),
    ],
)
def test_what_all_does_not_mean_is_refused(tmp_path: Path, methods: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        planned(methods, tmp_path)
    assert "\n" not in str(refused.value)


def test_nothing_else_is_called_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an ensemble is called 'all', which stands for every"):
        planned("all", tmp_path, overrides={"ensembles.all": "ce,sade"})
    file = tmp_path / "mine.py"
    file.write_text(LONG.replace('"loud"', '"all"'))
    with pytest.raises(InputError, match="a method is called 'all', which stands for every"):
        planned("all", tmp_path, plugins=(str(file),))
