"""`ltbench list methods`: by family, with experts, own strategy and the cost of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

CommandLine = Callable[..., CompletedProcess[str]]

PLUGIN = '''
from ltbench import Architecture, Method, Phase


class Mine(Method):
    name, title, family, strategy = "mine", "Mine", "distillation", "em"

    def architecture(self):
        return Architecture(experts=2)

    def phases(self):
        return (Phase(share=1.0), Phase("heads", share=1.0, train="heads"))

    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()


class Older(Method):
    """Written before there were families."""

    name, title = "older", "Older"

    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()


class Odd(Older):
    name, title, family = "odd", "Odd [x]", "mixing"

    def architecture(self):
        raise KeyError("nothing")
'''


def rows(done: CompletedProcess[str]) -> dict[str, list[str]]:
    """Words of the lines of the table, which an empty line and the note on the cost follow."""
    assert done.returncode == 0, done.stderr
    table = done.stdout.split("\ncost:")[0]
    return {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}


def test_methods_stand_by_family(ltbench_here: CommandLine) -> None:
    found = rows(ltbench_here("list", "methods"))
    names = [name for name in found if name != "name"]
    losses = ["balanced-softmax", "ce", "class-balanced", "focal", "lade", "logit-adjustment"]
    experts = ["dirmixe", "plain-experts", "ride", "sade"]
    assert [name for name in names if name in losses] == losses
    assert [name for name in names if name in experts] == experts
    assert names.index("lade") < names.index("dirmixe")
    assert found["name"] == [
        "name", "family", "experts", "strategy", "cost", "needs", "title", "from"
    ]  # fmt: skip
    assert found["ce"][1:5] == ["loss", "1", "none", "1.00"]
    assert found["sade"][1:5] == ["experts", "3", "stability", "1.46"]
    assert found["logit-adjustment"][4] == "1.00"
    assert found["crt"][4:7] == ["0.33", "ce", "first"]
    assert found["zero-shot"][1:7] == ["two-stage", "1", "none", "0.00", "class", "names"]
    assert found["mdcs"][5:7] == ["2", "views"]
    assert found["sam"][4:7] == ["2.00", "2", "passes"]
    assert found["imb-sam"][4] == "3.00"
    ride = float(found["ride"][4])
    assert float(found["ride-distilled"][4]) > 1.3 * ride  # six experts of a teacher, forward


def test_plugins_have_a_family_of_their_own_or_none(
    ltbench_here: CommandLine, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    done = ltbench_here("list", "methods", "--plugin", plugin)
    found = rows(done)
    assert list(found)[-1] == "mine"  # behind the families that ltbench knows
    assert found["mine"][1:4] == ["distillation", "2", "em"]
    assert found["older"][1:5] == ["loss", "1", "none", "1.00"]
    # half the epochs with all weights of two experts, half with their heads alone
    assert 0.5 < float(found["mine"][4]) < 2
    assert found["odd"][1:6] == ["mixing", "KeyError", "none", "Odd", "[x]"]


def test_the_note_says_what_the_cost_is(ltbench_here: CommandLine) -> None:
    done = ltbench_here("list", "methods")
    note = done.stdout.split("\ncost:")[1]
    assert "multiply-accumulates of training relative to ce, not time" in note
    assert all(len(line) <= 80 for line in note.splitlines())
