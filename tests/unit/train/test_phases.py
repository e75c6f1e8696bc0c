"""How phases share the epochs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltbench.errors import ContractError
from ltbench.method import Phase
from ltbench.train.phases import phase_spans


def lengths(shares: list[float], epochs: int) -> list[int]:
    return [span.epochs for span in phase_spans(tuple(Phase(share=s) for s in shares), epochs)]


@pytest.mark.parametrize(
    ("shares", "epochs", "expected"),
    [
        ([1.0], 7, [7]),
        ([0.9, 0.1], 200, [180, 20]),
        ([9, 1], 10, [9, 1]),
        ([200, 10], 210, [200, 10]),
        ([1, 1, 1], 10, [3, 4, 3]),
        ([1000, 1], 5, [4, 1]),  # at least one epoch each
        ([1, 1000], 5, [1, 4]),
        ([1e-9, 1e-9, 1], 3, [1, 1, 1]),
    ],
)
def test_shares(shares: list[float], epochs: int, expected: list[int]) -> None:
    assert lengths(shares, epochs) == expected


@given(
    shares=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6),
    spare=st.integers(0, 300),
)
def test_spans_follow_one_another_and_cover_all_epochs(shares: list[float], spare: int) -> None:
    epochs = len(shares) + spare
    phases = tuple(Phase(f"p{i}", share) for i, share in enumerate(shares))
    spans = phase_spans(phases, epochs)
    assert [span.phase for span in spans] == list(phases)
    assert spans[0].start == 0
    for one, following in zip(spans, spans[1:], strict=False):  # noqa: RUF007
        assert following.start == one.start + one.epochs
    assert spans[-1].start + spans[-1].epochs == epochs
    assert all(span.epochs >= 1 for span in spans)


def test_no_phase_and_what_is_none_break_the_contract() -> None:
    for phases in ((), ("heads",)):
        with pytest.raises(ContractError, match=r"at least one ltbench\.Phase"):
            phase_spans(phases, 10)  # type: ignore[arg-type]


def test_more_phases_than_epochs_break_the_contract() -> None:
    with pytest.raises(ContractError, match="3 phases need at least as many epochs, not 2"):
        lengths([1, 1, 1], 2)
