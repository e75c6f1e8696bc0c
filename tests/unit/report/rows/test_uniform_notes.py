"""Notes on uniform sets whose classes differ in size, lack images, or were recorded unbalanced."""

from __future__ import annotations

from ltbench.report.records.schema import Distribution, Draw
from ltbench.report.rows.uniform_notes import uniform_notes

GROUPS = {"many": (0,), "medium": (), "few": (1, 2)}


def distribution(
    counts: tuple[int, ...], as_found: list[int] | None = None, name: str = "uniform"
) -> Distribution:
    kind = "uniform" if name == "uniform" else "partial"
    pool = "" if as_found is None else f'"as_found": {as_found}, '
    definition = f'{{{pool}"counts": {list(counts)}, "kind": "{kind}", "ratio": null}}'
    draws = (Draw(number=0, n=sum(counts), top1=50.0),)
    return Distribution(name, kind, None, definition, draws, None, (), counts)


def test_balanced_sets_need_no_note() -> None:
    found = [distribution((5, 5, 5)), distribution((5, 0, 0), name="many-only")]
    assert uniform_notes(found, GROUPS) == []
    assert not found[0].drawn


def test_sets_made_uniform_are_named() -> None:
    found = [
        distribution((8, 8, 0), [40, 8, 0], "many-only"),
        distribution((5, 5, 5), [40, 8, 5]),
        distribution((5, 5, 5), [40, 8, 5]),
    ]
    (note,) = uniform_notes(found, GROUPS)
    assert note.startswith("classes of the test set have 5 to 40 images, so uniform, many-only are")
    assert all(d.drawn for d in found)


def test_classes_without_images_and_older_records() -> None:
    assert uniform_notes([distribution((5, 0, 5))], GROUPS) == [
        "1 class has no test image; uniform is over the others"
    ]
    two, drawn = uniform_notes([distribution((5, 0, 0, 5), [9, 0, 0, 5])], GROUPS)[::-1]
    assert two.startswith("2 classes have no test image")
    assert "5 to 9 images" in drawn
    (old,) = uniform_notes([distribution((5, 40, 5))], GROUPS)
    assert "evaluate again" in old


def test_a_group_without_test_images_is_named_where_such_sets_were_asked_for() -> None:
    found = [distribution((5, 0, 0)), distribution((5, 0, 0), name="many-only")]
    assert uniform_notes(found, GROUPS) == [
        "2 classes have no test image; uniform is over the others",
        "no test set few-only: its classes have no test images",
    ]
    assert len(uniform_notes(found[:1], GROUPS)) == 1  # no partial set was asked for
    half = [distribution((5, 0, 5)), distribution((5, 0, 0), name="many-only")]
    assert len(uniform_notes(half, GROUPS)) == 1
