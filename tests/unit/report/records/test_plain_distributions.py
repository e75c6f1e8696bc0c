"""The quick reading of scores agrees with the careful one, or leaves the record to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ltbench.report.records.checks import Malformed, Node
from ltbench.report.records.plain_distributions import plain_distributions
from ltbench.report.records.schema import Distribution
from ltbench.report.records.scores import parse_distribution

PUBLISHED = Path(__file__).parents[4] / "results" / "published" / "digits-lt"
RECORDS = sorted(PUBLISHED.glob("*/0-*/evaluations/*.json"))


def record(path: Path) -> tuple[dict[str, Any], int, int]:
    content = json.loads(path.read_text())
    return content["distributions"], content["model"]["experts"], len(content["train_counts"])


def careful(found: dict[str, Any], experts: int, classes: int) -> tuple[Distribution, ...]:
    return tuple(
        parse_distribution(name, node, experts, classes) for name, node in Node(found).entries()
    )


def facts(distributions: tuple[Distribution, ...]) -> list[object]:
    """All that a report reads, as plain values."""
    fields = (
        "number", "n", "top1", "macro", "nll", "ece", "expert_top1", "expert_weights", "prior",
        "prior_l1", "prior_kl", "exact_top1", "exact_se", "diagnostics",
    )  # fmt: skip
    return [
        (
            {k: v for k, v in vars(d).items() if k != "draws"},
            [tuple(getattr(draw, field) for field in fields) for draw in d.draws],
        )
        for d in distributions
    ]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_published_records_read_the_same_both_ways(path: Path) -> None:
    found, experts, classes = record(path)
    plain = plain_distributions(json.dumps(found).encode(), experts, classes)
    assert plain is not None
    assert facts(plain) == facts(careful(found, experts, classes))


def test_the_classes_of_the_images_are_read_both_ways() -> None:
    found, experts, classes = record(RECORDS[0])
    found["uniform"]["labels"] = "eJxjAAAAAQAB"
    plain = plain_distributions(json.dumps(found).encode(), experts, classes)
    assert plain is not None
    assert [d.labels for d in plain if d.name == "uniform"] == ["eJxjAAAAAQAB"]
    assert facts(plain) == facts(careful(found, experts, classes))


def edits() -> dict[str, Callable[[dict[str, Any]], object]]:
    return {
        "too many experts": lambda d: d["draws"]["0"]["expert_top1"].append(1.0),
        "accuracy above 100": lambda d: d["draws"]["0"].update(top1=100.5),
        "text for a number": lambda d: d["draws"]["0"].update(nll="1.0"),
        "true for a number": lambda d: d["draws"]["0"].update(top1=True),
        "negative count": lambda d: d["draws"]["0"].update(n=-1),
        "no draw": lambda d: d.update(draws={}),
        "a draw without number": lambda d: d["draws"].update(first=d["draws"]["0"]),
        "shift without ratio": lambda d: d["definition"].update(kind="forward", ratio=None),
        "a class without recall": lambda d: d["draws"]["0"]["per_class"].pop(),
        "recalls without groups": lambda d: d["draws"]["0"].update(groups=None),
        "prior too short": lambda d: d["draws"]["0"].update(prior=[1.0]),
        "divergence without distance": lambda d: d["draws"]["0"].update(prior_error={"kl": 1.0}),
    }


@pytest.mark.parametrize("what", edits())
def test_what_is_wrong_is_left_to_the_careful_reading_which_refuses_it(what: str) -> None:
    found, experts, classes = record(RECORDS[0])
    edits()[what](found["uniform"])
    assert plain_distributions(json.dumps(found).encode(), experts, classes) is None
    with pytest.raises(Malformed):
        careful(found, experts, classes)


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"uniform": NaN}', b"[" * 100_000])
def test_other_json_is_left_to_the_careful_reading(content: bytes) -> None:
    assert plain_distributions(content, 1, 10) is None


def test_an_unusual_but_right_record_is_read_by_the_careful_way() -> None:
    """An accuracy a rounding error above 100 is clipped, not refused."""
    found, experts, classes = record(RECORDS[0])
    found["uniform"]["draws"]["0"]["top1"] = 100.0 + 1e-9
    assert plain_distributions(msgspec.json.encode(found), experts, classes) is None
    read = {d.name: d for d in careful(found, experts, classes)}
    assert read["uniform"].draws[0].top1 == 100.0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda draw: draw.update(nll=None), math.inf),
        (lambda draw: draw.pop("nll"), None),
        (lambda draw: draw.update(nll=2), 2.0),
    ],
)
def test_a_null_loss_is_infinite_and_an_absent_one_not_measured(
    change: Callable[[dict[str, Any]], object], expected: float | None
) -> None:
    found, experts, classes = record(RECORDS[0])
    change(found["uniform"]["draws"]["0"])
    plain = plain_distributions(json.dumps(found).encode(), experts, classes)
    assert plain is not None
    assert facts(plain) == facts(careful(found, experts, classes))
    assert [d.draws[0].nll for d in plain if d.name == "uniform"] == [expected]


def test_diagnostics_of_any_form_are_read_both_ways() -> None:
    for form in ({"converged": False, "rank": "full", "more": [1]}, [1], "text", None, 3):
        found, experts, classes = record(RECORDS[0])
        found["uniform"]["draws"]["0"]["diagnostics"] = form
        content = json.dumps(found).encode()
        read = careful(found, experts, classes)
        plain = plain_distributions(content, experts, classes)
        assert plain is None or facts(plain) == facts(read)
        told = [d.draws[0].diagnostics for d in read if d.name == "uniform"]
        assert [one is not None for one in told] == [isinstance(form, dict)]
