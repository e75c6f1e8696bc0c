"""docs/peers.md says what the comparisons of this folder measured."""

from __future__ import annotations

import math
from importlib.metadata import version

import pytest

from .table import FLOOR, PAGE, Ledger, pinned, read, shown, written

LOUDER, QUIETER = 1, 3
"""Decades by which a distance may differ on another machine: solvers stop elsewhere there."""


def test_the_pinned_peers_are_those_that_were_compared() -> None:
    assert {peer: version(peer) for peer in pinned()} == pinned()


def test_the_page_is_what_was_measured(
    ledger: Ledger, everything_ran: bool, request: pytest.FixtureRequest
) -> None:
    """Words and versions exactly, distances up to LOUDER and QUIETER decades."""
    rows = ledger.rows
    if not rows:
        pytest.skip("nothing was compared in this run")
    if request.config.getoption("--write-table"):
        assert everything_ran, "the table is written by a run of the whole folder"
        PAGE.write_text(written(rows.values()), encoding="utf-8")
    page = read()
    if everything_ran:
        assert list(page) == list(rows), "make peers-table writes the page anew"
    for key, row in rows.items():
        quantity, peer, *numbers, verdict = page[key]
        assert [quantity, peer, verdict] == [row.cells()[0], row.cells()[1], row.verdict]
        measured = (row.distance, row.ours, row.theirs)
        assert all(map(agree, numbers, measured)), (key, numbers, [*map(shown, measured)])


def agree(told: str, measured: float | None) -> bool:
    """An absent number is absent in both; a distance that is none may become the smallest ones."""
    now = shown(measured)
    if told == now or not (told and now):
        return told == now
    return -QUIETER <= decade(now) - decade(told) <= LOUDER


def decade(text: str) -> float:
    return float(FLOOR) if text == "none" else round(math.log10(float(text)))


def test_whoever_is_called_right_is_nearer(ledger: Ledger) -> None:
    for key, row in ledger.rows.items():
        if row.verdict.startswith("we:") and row.ours is not None and row.theirs is not None:
            assert row.ours < row.theirs, (key, row.ours, row.theirs)
        if row.verdict.startswith("it:"):
            assert row.ours is not None, key
            assert row.theirs is not None, key
            assert row.theirs < row.ours, (key, row.ours, row.theirs)
