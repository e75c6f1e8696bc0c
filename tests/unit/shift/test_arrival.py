"""How an arrival is named."""

from __future__ import annotations

import pytest

from ltbench.errors import InputError
from ltbench.shift.arrival import parse_arrival


@pytest.mark.parametrize(
    ("text", "size", "name"),
    [("single", 1, "single"), ("batch:1", 1, "single"), ("batch:64", 64, "batch:64")],
)
def test_arrivals(text: str, size: int, name: str) -> None:
    arrival = parse_arrival(text)
    assert (arrival.size, arrival.name) == (size, name)
    assert parse_arrival(arrival.name) == arrival


@pytest.mark.parametrize(
    "text", ["", "batch", "batch:", "batch:0", "batch:-3", "batch:1.5", "64", "batch:٣", "Single"]
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"must be single or batch:SIZE") as caught:
        parse_arrival(text)
    assert "\n" not in str(caught.value)
