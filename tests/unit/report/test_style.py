"""Looks of rows: what a reader must tell apart differs."""

from ltbench.report.style import DASHES, looks


def test_no_two_of_a_hundred_methods_look_alike() -> None:
    found = looks((f"m{i}", f"m{i}") for i in range(100))
    assert len(set(found.values())) == 100


def test_seven_strategies_of_one_method_have_seven_lines_and_one_colour() -> None:
    found = looks((f"sade+{i}", "sade") for i in range(7))
    assert len({look.line for look in found.values()}) == 7
    assert len({look.colour for look in found.values()}) == 1


def test_every_dash_repeats_within_the_handle_of_a_legend() -> None:
    handle = 3.0 * 7.0 / 1.2  # handle length in ems, font size, line width
    for line in DASHES[1:]:
        assert not isinstance(line, str)
        assert 1.5 * sum(line[1]) < handle
