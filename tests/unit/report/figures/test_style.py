"""Looks of rows: what a reader must tell apart differs."""

from matplotlib.colors import to_rgb

from ltbench.report.figures.rows import MOST
from ltbench.report.figures.style import COLOURS, DASHES, HATCHES, METHODS, ink, looks


def named(colour: str) -> str:
    """A method that is not known and has this colour."""
    names = (f"m{i}" for i in range(1000))
    return next(name for name in names if looks([(name, name)])[name].colour == colour)


def test_no_two_of_a_hundred_methods_look_alike() -> None:
    found = looks((f"m{i}", f"m{i}") for i in range(100))
    assert len(set(found.values())) == 100


def test_no_two_of_forty_rows_of_one_method_look_alike_as_lines_or_as_points() -> None:
    found = looks((f"sade+{i:02d}", "sade") for i in range(40))
    assert len({look.colour for look in found.values()}) == 1
    assert len({(look.marker, look.line) for look in found.values()}) == 40
    assert len({(look.marker, look.fill) for look in found.values()}) == 40


def test_seven_methods_of_seven_strategies_differ_without_colour() -> None:
    methods = (*METHODS, *(named(COLOURS[place]) for place in (5, 6)))
    found = looks((f"{m}+{i}", m) for m in methods for i in range(7))
    assert len({(look.marker, look.line) for look in found.values()}) == 49


def test_rows_of_methods_that_share_a_colour_differ() -> None:
    found = looks((f"m{m:02d}+{i}", f"m{m:02d}") for m in range(20) for i in range(8))
    assert len({look.colour for look in found.values()}) == len(COLOURS) - len(METHODS)
    assert len({(look.colour, look.marker, look.line) for look in found.values()}) == 160


def test_no_two_bars_of_a_figure_share_a_hatch() -> None:
    assert len(set(HATCHES)) == len(HATCHES) >= MOST


def test_seven_strategies_of_one_method_have_seven_lines_and_one_colour() -> None:
    found = looks((f"sade+{i}", "sade") for i in range(7))
    assert len({look.line for look in found.values()}) == 7
    assert len({look.colour for look in found.values()}) == 1


def test_every_dash_repeats_within_the_handle_of_a_legend() -> None:
    handle = 3.0 * 7.0 / 1.2  # handle length in ems, font size, line width
    for line in DASHES[1:]:
        assert not isinstance(line, str)
        assert 1.5 * sum(line[1]) < handle


def test_a_known_method_keeps_its_colour_whatever_else_there_is() -> None:
    alone = looks((name, name) for name in METHODS)
    beside = looks((name, name) for name in ("a", "z", *METHODS, "my-method", "b"))
    for name in METHODS:
        (own,) = looks([(name, name)]).values()
        assert own.colour == alone[name].colour == beside[name].colour
    assert len({look.colour for look in alone.values()}) == len(METHODS)
    assert beside["a"].colour not in {look.colour for look in alone.values()}


def test_any_method_has_its_colour_in_every_report() -> None:
    mine = [f"mine-{i}" for i in range(20)]
    together = looks((name, name) for name in (*METHODS, *mine))
    for name in mine:
        (alone,) = looks([(name, name)]).values()
        assert alone.colour == together[name].colour
    known = {together[name].colour for name in METHODS}
    assert not known & {together[name].colour for name in mine}


def test_text_in_the_colour_of_a_line_can_be_read() -> None:
    for colour in COLOURS:
        red, green, blue = (
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(ink(colour))
        )
        assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.45
