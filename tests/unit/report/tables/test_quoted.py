"""Published figures beside measured ones: both ways to average, gaps, candidates for what differs."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from ltbench.names import parse_row
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import load_registries
from ltbench.report.published.quoted import CIFAR, Quoted, all_quoted, quoted_rows
from ltbench.report.published.recipe import NOT_STATED, SELECTIONS, augmentation, width
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.text import render_markdown
from ltbench.report.rows.sections import build_sections
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Table

from ..builder import Results, Score, flat


def published(distribution: str, off: float = 0.0) -> float:
    """What sade-readme says of ce, and a little more."""
    scores = {
        **{"forward50": 62.3, "forward10": 56.2, "uniform": 41.4},
        **{"backward10": 25.8, "backward50": 17.5},
    }
    return scores.get(distribution, 50.0) + off


def quoted_of(root: Path) -> Table | None:
    (section,) = build_sections(read_records(root))[0]
    return next((t for t in build_tables(section, "9") if t.name == "quoted"), None)


def add(root: Path, score: Score, *, method: str = "ce", seeds: int = 1, **more: str) -> Results:
    results = Results(root, protocol="cifar100-lt", ratios=(10, 50), draws=3, **more)  # type: ignore[arg-type]
    for seed in range(seeds):
        results.add(method, seed, score)
    return results


def far_notes(table: Table) -> list[str]:
    return [note for note in table.notes if "Candidates" in note]


def test_draw_0_and_the_mean_stand_beside_what_is_quoted(tmp_path: Path) -> None:
    add(tmp_path, lambda n, s, d: published(n, 0.4 if n == "uniform" or d == 0 else 1.0))
    table = quoted_of(tmp_path)
    assert table is not None
    lines = [line for line in render_markdown(table).splitlines() if line.startswith("| ce")]
    assert lines == [
        "| ce | measured, draw 0 | 1 | 62.7 | 56.6 | 41.8 | 26.2 | 17.9 |",
        "| ce | measured, mean of 3 | 1 | 63.1 | 57.0 | 41.8 | 26.6 | 18.3 |",
        "| ce | quoted, sade-readme | – | 62.3 | 56.2 | 41.4 | 25.8 | 17.5 |",
        "| ce | draw 0 minus sade-readme | 1 | 0.4 | 0.4 | 0.4 | 0.4 | 0.4 |",
        "| ce | mean of 3 minus sade-readme | 1 | 0.8 | 0.8 | 0.4 | 0.8 | 0.8 |",
        "| ce | quoted, openlt | – | – | – | 40.3 | – | – |",
        "| ce | draw 0 minus openlt | 1 | – | – | 1.5 | – | – |",  # no draws: no second gap
        "| ce | quoted, bag-of-tricks | – | – | – | 38.3 | – | – |",
        "| ce | draw 0 minus bag-of-tricks | 1 | – | – | 3.5 | – | – |",
        "| ce | quoted, imbalanced-dl | – | – | – | 38.5 | – | – |",  # 300 epochs: no gap
    ]
    assert [block.quoted for block in table.blocks] == [frozenset({2, 5, 7, 9})]
    latex = [line for line in render_latex(table, "x").splitlines() if "\\color{gray}" in line]
    keys = ("sade-readme", "openlt", "bag-of-tricks", "imbalanced-dl")
    assert [[key in line for key in keys] for line in latex] == [
        [key == one for key in keys] for one in keys
    ]
    assert "none to figures of another budget or kind of augmentation" in table.caption
    assert "github.com/Vanint/SADE-AgnosticLT" in " ".join(table.notes)
    assert "(n = 1)" in table.caption


def test_methods_have_a_block_each(tmp_path: Path) -> None:
    add(tmp_path, flat(50))
    add(tmp_path, flat(50), method="ride")
    table = quoted_of(tmp_path)
    assert table is not None
    assert [{row[0] for row in block.rows} for block in table.blocks] == [{"ce"}, {"ride"}]


def test_no_gap_to_another_budget_and_nothing_quoted_for_a_variant(tmp_path: Path) -> None:
    Results(tmp_path / "s", protocol="cifar100-lt-short", ratios=(10, 50)).add("ce", 0, flat(50))
    table = quoted_of(tmp_path / "s")
    assert table is not None
    assert "other budget" in table.title
    sources = [str(row[1]) for block in table.blocks for row in block.rows]
    assert sources == [
        *("measured, draw 0", "measured, mean of 2", "quoted, sade-readme", "quoted, openlt"),
        *("quoted, bag-of-tricks", "quoted, imbalanced-dl"),
    ]
    assert far_notes(table) == []
    assert quoted_rows("cifar100-lt", "recipe.epochs=40") == []
    Results(tmp_path / "v", protocol="cifar100-lt", variant="train.imbalance=20").add(
        "ce", 0, flat(50)
    )
    assert quoted_of(tmp_path / "v") is None


def test_a_gap_over_one_point_names_candidates_and_where(tmp_path: Path) -> None:
    def score(n: str, s: int, d: int) -> float:
        far = n == "backward50" or (n == "forward50" and d > 0)
        return published(n, 1.8 if far else 0.9)

    add(tmp_path, score, seeds=2)
    table = quoted_of(tmp_path)
    assert table is not None
    first, second, third = far_notes(table)
    assert first.startswith(
        "ce, more than 1 point from sade-readme (draw 0: B50; mean of 3: F50, B50). Candidates for"
        " what differs, not causes: "
    )
    assert "constants of CIFAR-10 there" in first
    assert "augments the images of shifted sets" in first
    assert "one draw per shifted test set there, the mean of 3 here" in first
    assert first.endswith("one run there, 2 seeds here")
    assert second.startswith("ce, more than 1 point from openlt (draw 0: U).")
    assert "shifted" not in second  # only the uniform set is far
    assert "epoch that counts: best epoch on the test set there, last epoch here" in second
    assert "bag-of-tricks" in third


def test_small_gaps_have_no_footnote(tmp_path: Path) -> None:
    add(tmp_path, lambda n, s, d: published(n, -0.5))
    table = quoted_of(tmp_path)
    assert table is not None
    assert [note.split(" (")[0] for note in far_notes(table)] == [
        "ce, more than 1 point from bag-of-tricks"  # 38.3 where sade-readme has 41.4
    ]


@pytest.mark.parametrize(("gamma", "told"), [(0.1, True), (0.01, False)])
def test_settings_are_told_where_those_of_the_records_differ(
    tmp_path: Path, gamma: float, told: bool
) -> None:
    results = Results(tmp_path, protocol="cifar100-lt", ratios=(10, 50))
    recipe = {"gamma": gamma, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4}
    results.add("ride", 0, flat(90), hyper={"diversity_factor": -0.45}, recipe=recipe)
    table = quoted_of(tmp_path)
    assert table is not None
    note = next(note for note in far_notes(table) if "sade-readme" in note)
    assert ("recipe.gamma 0.01 there, 0.1 here (RIDE's own" in note) == told
    assert "batch_size" not in note
    assert "diversity_factor" not in note
    assert "keeps the epoch of the best test accuracy" in note


def test_augmentation_is_told_where_that_of_the_records_differs(tmp_path: Path) -> None:
    results = Results(tmp_path, protocol="cifar100-lt", ratios=(10, 50))
    recipe = {"crop_padding": 4, "flip": True, "rotation": 15.0}
    results.add("ce", 0, flat(90), recipe=recipe)
    table = quoted_of(tmp_path)
    assert table is not None
    told = "augmentation: crop, flip there, crop, flip, rotation 15 here"
    assert [told in note for note in far_notes(table)] == [False, True, True]


def test_each_source_tells_how_its_figures_were_obtained(tmp_path: Path) -> None:
    add(tmp_path, flat(50))
    add(tmp_path, flat(50), method="ride")
    table = quoted_of(tmp_path)
    assert table is not None
    notes = "\n".join(table.notes)
    assert (
        "Softmax: 200 epochs; crop, flip, rotation 15; one network; epoch not stated. "
        "RIDE: 200 epochs; crop, flip, rotation 15; 3 experts of reduced width; epoch not stated"
    ) in notes
    assert "Obtained with: 300 epochs; crop, flip; one network; best epoch on the test set" in notes


def test_figures_of_a_variant_stand_under_it(tmp_path: Path) -> None:
    results = Results(
        tmp_path, protocol="cifar100-lt", variant="train.imbalance=50", ratios=(10, 50)
    )
    results.add("ce", 0, flat(50))
    table = quoted_of(tmp_path)
    assert table is not None
    assert [str(row[1]) for block in table.blocks for row in block.rows] == [
        "measured, draw 0",
        "measured, mean of 2",
        "quoted, lade-notebooks",  # its epochs are not stated: no gap
        "quoted, bag-of-tricks-50",
        "draw 0 minus bag-of-tricks-50",
    ]


def test_prl_stands_beside_the_oracle_and_its_logs_are_told_apart(tmp_path: Path) -> None:
    """Its released tests add the true test prior."""
    assert {row.label for row in all_quoted() if "PRL" in row.title} == {"balpoe+oracle"}
    add(tmp_path, flat(50), method="balpoe+oracle")
    table = quoted_of(tmp_path)
    assert table is not None
    sources = [str(row[1]) for block in table.blocks for row in block.rows]
    quoted = [source for source in sources if source.startswith("quoted")]
    assert len(quoted) == len(set(quoted)) == 4


def test_what_is_said_of_settings_is_what_the_methods_quote() -> None:
    """The report may not import methods, so that a source repeats some of their settings."""
    known = load_registries().methods
    checked = 0
    for quoted in quoted_rows("cifar100-lt", ""):
        if not quoted.key.startswith("sade"):
            continue  # an implementation or a recipe of its own, or a method that ltbench lacks
        reference = known.get(quoted.label.partition("+")[0]).cls.reference.settings
        for key, value in quoted.settings.items():
            assert reference[key] == value, (quoted.key, quoted.label, key)
            checked += 1
    assert checked == 12


def test_every_score_of_the_file_is_read() -> None:
    """A score without a point would be a whole number, which is no score there."""
    path = Path(quoted_rows.__code__.co_filename).with_name("quoted.toml")
    scores = re.findall(
        r"^(?:forward|backward|uniform)\d* = (\S+)$", path.read_text(), re.MULTILINE
    )
    assert sorted(map(float, scores)) == sorted(
        v for row in all_quoted() for v in row.scores.values()
    )
    assert json.dumps([dict(row.settings) for row in all_quoted()])


AUGMENTATIONS = {
    augmentation({"crop_padding": 4, "flip": True, "rotation": rotation, "augment": augment})
    for rotation in (0, 15)
    for augment in ("", "autoaugment", "autoaugment+cutout")
} | {
    augmentation({"crop": "resized", "flip": True, "jitter": jitter})
    for jitter in ((), (0.4, 0.4, 0.4, 0))
}
WIDTHS = {width(1, False), "one network, ResNet-34"} | {
    width(experts, reduced) for experts in (3, 4, 6, 7) for reduced in (False, True)
}


@pytest.mark.parametrize("row", all_quoted(), ids=lambda row: f"{row.key}-{row.title}")
def test_every_row_tells_its_source_and_how_it_was_obtained(row: Quoted) -> None:
    assert row.mark in ("V", "R", "P")
    assert row.citation
    assert row.url.startswith("https://")
    assert row.augmentation in AUGMENTATIONS | {NOT_STATED}
    assert row.width in WIDTHS
    assert row.selection in SELECTIONS
    assert row.epochs is None or (30 if row.data == "Places-LT" else 100) <= row.epochs <= 400
    assert row.scores
    assert all(0 < score < 100 for score in row.scores.values())
    assert parse_row(row.label)
    for name in {row.protocol, *row.other_protocols} - {""}:
        found = load_protocol_config(name)  # raises where there is none
        frozen = name.endswith("-frozen")
        images = "cifar100" if row.data == CIFAR else "lists"
        assert found.data.source == ("features" if frozen else images)
        assert found.title.removesuffix(", frozen features") == row.data or row.data == CIFAR
        if frozen:  # whoever reads the line alone must know
            assert row.key.endswith("encoder fine-tuned")
            assert "ViT-B/16" in row.note
    drawn = row.imbalance not in (None, 100)
    assert row.variant == (f"train.imbalance={row.imbalance}" if drawn else "")
    assert (row.imbalance is None) == (row.data != CIFAR)
    if row.protocol:
        recipe = load_protocol_config(row.protocol).recipe
        assert row.epochs == recipe.epochs
        assert row.width != "one network, ResNet-34"


def test_no_figure_stands_for_a_method_of_which_none_was_read_at_its_source() -> None:
    known = {row.method for row in all_quoted()}
    assert {"ldam-drw", "balpoe", "crt", "lws", "tau-norm", "cdt", "mixup", "remix"} <= known
    assert {"mdcs", "mislas", "focal", "class-balanced", "sam", "imb-sam", "proco"} <= known
    assert {"ride-distilled", "influence-balanced", "tde", "lade"} <= known
    assert (
        not {"dirmixe", "vs", "ncm", "cmo", "bayias", "ncl", "gcl", "reslt", "paco", "bcl"} & known
    )


@pytest.mark.parametrize(
    ("protocol", "ratios", "measured", "sources"),
    [
        ("imagenet-lt", (10, 50), 69.4, ["sade-imagenet"]),
        ("places-lt", (10, 50), 46.4, ["sade-places"]),
        ("inat18-lt", (2, 3), 72.3, ["sade-inat18"]),
    ],
)
def test_figures_of_large_sets_stand_beside_their_protocols(
    tmp_path: Path, protocol: str, ratios: tuple[int, int], measured: float, sources: list[str]
) -> None:
    """SADE's own with the gap to them; baselines, whose recipe is not known, without."""
    results = Results(tmp_path, protocol=protocol, ratios=ratios)
    results.add("sade", 0, flat(measured))
    results.add("ce", 0, flat(50))
    table = quoted_of(tmp_path)
    assert table is not None
    sade, ce = (
        [row for block in table.blocks for row in block.rows if row[0] == name]
        for name in ("sade", "ce")
    )
    assert [row[1] for row in sade if str(row[1]).startswith("quoted")] == [
        f"quoted, {source}" for source in sources
    ]
    gap = next(row for row in sade if "minus" in str(row[1]))
    assert gap[3].mean == pytest.approx(0)  # type: ignore[union-attr]
    assert not [row for row in ce if "minus" in str(row[1])]
    assert any(note.startswith(f"{sources[0]}-baselines: ") for note in table.notes)


@pytest.mark.parametrize(
    ("protocol", "method", "score"),
    [
        ("imagenet-lt-frozen", "ce", 77.2),
        ("places-lt-frozen", "ce", 50.1),
        ("inat18-lt-frozen", "ce", 76.8),
        ("cifar100-lt-frozen", "balanced-softmax", 81.7),
    ],
)
def test_fine_tuned_encoders_are_quoted_beside_frozen_ones_without_a_gap(
    tmp_path: Path, protocol: str, method: str, score: float
) -> None:
    encoder = {"name": "open_clip:ViT-B-16"}
    Results(tmp_path, protocol=protocol, ratios=(2,), encoder=encoder).add(method, 0, flat(50))
    table = quoted_of(tmp_path)
    assert table is not None
    rows = [row for block in table.blocks for row in block.rows]
    assert [row[1] for row in rows][-1].endswith(", encoder fine-tuned")  # type: ignore[union-attr]
    assert [cell.mean for cell in rows[-1] if hasattr(cell, "mean")] == [score]
    assert not any("minus" in str(row[1]) for row in rows)
    assert "pre-trained open_clip:ViT-B-16" in table.caption


def test_stating_the_digest_of_pretrained_weights_is_no_departure() -> None:
    plain = quoted_rows("places-lt", "")
    assert {row.key for row in plain} >= {"sade-places", "sade-places-baselines"}
    digest = f"model.pretrained.sha256={'0' * 64}"
    assert quoted_rows("places-lt", digest) == plain
    assert quoted_rows("places-lt", f"{digest};recipe.epochs=5") == []


def test_a_protocol_of_published_settings_has_them() -> None:
    """What is quoted as SADE's configuration is what its protocol trains with."""
    checked = 0
    for row in all_quoted():
        if row.method != "sade" or row.data == CIFAR:
            continue
        protocol = load_protocol_config(row.protocol)
        recipe, hyper = protocol.recipe_for("sade"), protocol.methods["sade"].hyper
        for key, value in row.settings.items():
            assert value == (
                hyper[key] if "." not in key else getattr(recipe, key.removeprefix("recipe."))
            )
            checked += 1
        assert augmentation(dataclasses.asdict(recipe)) == row.augmentation
        assert width(3, hyper["reduced"]) == row.width
    assert checked == 13
