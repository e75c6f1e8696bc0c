"""The footnote of an ensemble whose members were trained by different recipes."""

from __future__ import annotations

import json
from typing import Any

from ltbench.report.records.schema import Training
from ltbench.report.rows.rows import Row
from ltbench.report.tables.captions import mixed_recipe_note


def note(recipe: dict[str, Any]) -> str:
    training = Training(name="mix", hyper="{}", version="1", origin="")
    return mixed_recipe_note(Row("mix", "mix", training, recipe=json.dumps(recipe)))


def test_only_a_mixed_recipe_has_a_note_and_it_says_what_differs() -> None:
    one = {"epochs": 2, "lr": 0.1, "momentum": 0.9}
    assert note(one) == ""
    assert note({}) == ""
    told = note({"mixed": [one, one | {"epochs": 3}, one | {"lr": 0.2}]})
    assert told == "mix: its members were trained by different recipes (epochs, lr differ)"
