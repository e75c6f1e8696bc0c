"""The table of intervals over seeds and images: where it stands, what it marks, what it says."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ltbench.report.records.read import read_records
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.rows.summary import half_width
from ltbench.report.statistics.combined import combined_intervals
from ltbench.report.tables.combined import combined_table
from ltbench.report.tables.images import images_table

from ..builder import Results, flat, write

IMAGES = 100


def add(
    results: Results, method: str, seed: int, chance: Mapping[str, float], **more: bool
) -> None:
    """A record whose draw 0 has every image right with a chance by its difficulty, seeded."""
    path = results.add(method, seed, flat(50), **more)  # type: ignore[arg-type]
    record = json.loads(path.read_text())
    for name, entry in record["distributions"].items():
        n = sum(entry["definition"]["counts"])
        hard = np.random.default_rng(7).random(n)  # of the images, the same for all
        noise = np.random.default_rng([seed, len(method)]).normal(0, 0.1, n)
        bits = hard + noise < chance.get(name, 0.5)
        entry["correct"] = base64.b64encode(np.packbits(bits).tobytes()).decode()
        entry["draws"]["0"]["top1"] = 100.0 * float(bits.mean())
    write(path, record)


def section_of(root: Path) -> Section:
    (section,) = build_sections(read_records(root))[0]
    return section


def study(root: Path, seeds: int) -> Section:
    results = Results(root, images=IMAGES)
    for seed in range(seeds):
        add(results, "ce", seed, {"forward10": 0.8, "backward10": 0.3})
        add(results, "sade", seed, {"forward10": 0.8, "backward10": 0.6})
        add(results, "best", seed, {"forward10": 0.9, "backward10": 0.9}, oracle=True)
    return section_of(root)


def test_no_table_below_three_seeds(tmp_path: Path) -> None:
    section = study(tmp_path, 2)
    assert images_table(section, "9") is not None
    assert combined_table(section, "9") is None


def test_intervals_hold_those_of_seeds_and_of_images(tmp_path: Path) -> None:
    section = study(tmp_path, 4)
    found = combined_intervals(section.rows, "forward10")
    assert set(found) == {"ce", "sade", "best"}
    assert all(one.stratified for one in found.values())
    for row in section.rows:
        one = found[row.label]
        seeds = [d.draws[0].top1 for d in row.results["forward10"].values()]
        alone = half_width(seeds)
        assert alone is not None
        assert one.cell.half_width is not None
        assert one.cell.half_width > alone
        assert 0.7 < one.share <= 1.0  # by construction images differ more than seeds


def test_bold_is_the_best_and_what_cannot_be_told_from_it(tmp_path: Path) -> None:
    section = study(tmp_path, 4)
    forward = combined_intervals(section.rows, "forward10")
    assert not any(found.cell.best for found in forward.values())  # all tie: bold would say nothing
    backward = combined_intervals(section.rows, "backward10")
    assert not backward["ce"].cell.best
    assert backward["sade"].cell.best
    assert not backward["best"].cell.best  # it knows the true prior


def test_a_row_of_two_seeds_is_left_out_beside_others(tmp_path: Path) -> None:
    study(tmp_path, 3)
    add(Results(tmp_path, images=IMAGES), "ride", 0, {})
    table = combined_table(section_of(tmp_path), "9")
    assert table is not None
    assert [line[0] for block in table.blocks for line in block.rows] == ["ce", "sade", "best"]


def test_the_caption_says_which_variance_is_covered(tmp_path: Path) -> None:
    table = combined_table(study(tmp_path, 3), "9")
    assert table is not None
    assert "both the training seed and which images" in table.caption
    assert "half-width of the 95 % t interval over seeds" not in table.caption
    assert "not told for U: there, not by class" in table.caption  # no record tells its order
