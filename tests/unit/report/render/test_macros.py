"""Names of LaTeX macros: two numbers never share one."""

from __future__ import annotations

from ltbench.report.render.macros import macro_word, render_macros
from ltbench.report.tables.table import Block, Column, Table


def names_of(table: Table) -> list[str]:
    lines = render_macros([table], "x").splitlines()
    return [line.split("}")[0].removeprefix(r"\newcommand{") for line in lines if line[0:1] == "\\"]


def table(keys: list[str], labels: list[str]) -> Table:
    columns = (Column("method", "Method", text=True), *(Column(key, key) for key in keys))
    rows = tuple((label, *range(len(keys))) for label in labels)
    return Table("main", "t", "c", columns, (Block(rows),))


def test_a_point_in_a_number_is_spelled_and_no_other() -> None:
    assert macro_word("forward2.5") == "ForwardTwoPointFive"
    assert macro_word("forward25") == "ForwardTwoFive"
    assert macro_word("v.a 1. .5 recipe.epochs=40") == "VAOneFiveRecipeEpochsFourZero"


def test_columns_and_rows_whose_words_are_equal_are_told_apart() -> None:
    keys = ["forward2.5", "forward25", "dirichlet1-10", "dirichlet11-0", "a-b", "a.b", "a_b"]
    labels = ["ce[tau=0.5]", "ce[tau=5]", "ce[tau=-5]", "ce", "ce forward", "x y", "x-y"]
    names = names_of(table(keys, labels))
    assert len(names) == len(keys) * len(labels) == len(set(names))
    assert all(name[1:].isalpha() for name in names)


def test_names_do_not_follow_the_order_of_columns() -> None:
    one = names_of(table(["dirichlet1-10", "dirichlet11-0"], ["ce"]))
    two = names_of(table(["dirichlet11-0", "dirichlet1-10"], ["ce"]))
    assert one == two[::-1]


def test_whole_ratios_keep_their_names() -> None:
    assert names_of(table(["forward50", "uniform"], ["sade+none[tau=1]"])) == [
        r"\XMainSadePlusNoneTauOneForwardFiveZero",
        r"\XMainSadePlusNoneTauOneUniform",
    ]
