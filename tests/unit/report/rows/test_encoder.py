"""Heads on frozen features are told as such, and never stand beside networks trained from scratch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.errors import InputError
from ltbench.report.build import build_report
from ltbench.report.records.read import read_records
from ltbench.report.rows.same_images import by_images
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.rows.strictness import refuse_mixtures, with_footnotes
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.overview import build_overview, overview_table

from ..builder import Results, flat

CLIP = {"name": "open_clip:ViT-B-16", "weights": "sha256:" + 64 * "5", "output": "pre-projection"}
TOLD = "open_clip:ViT-B-16 (weights sha256:555555555555, output pre-projection)"


def sections_of(root: Path) -> list[Section]:
    return build_sections(read_records(root))[0]


def two_of_one_protocol(root: Path) -> None:
    Results(root).add("ce", 0, flat(40))
    Results(root, encoder=CLIP).add("ce", 1, flat(80))


def test_frozen_features_never_share_a_section_with_images(tmp_path: Path) -> None:
    """Not even where protocol and fingerprints are the same."""
    two_of_one_protocol(tmp_path)
    plain, frozen = sections_of(tmp_path)
    assert [row.seeds for row in plain.rows] == [(0,)]
    assert [row.seeds for row in frozen.rows] == [(1,)]
    assert (plain.folder, frozen.folder) == ("toy-lt", "toy-lt-open-clip-ViT-B-16")
    assert "encoder" not in plain.title
    assert f"heads on frozen features of the pre-trained {TOLD}" in frozen.title


@pytest.mark.parametrize(
    "other",
    [{"name": "timm:x"}, {"weights": "sha256:" + 64 * "6"}, {"output": "post-projection"}],
)
def test_two_encoders_have_two_sections(tmp_path: Path, other: dict[str, str]) -> None:
    Results(tmp_path, encoder=CLIP).add("ce", 0, flat(40))
    Results(tmp_path, encoder=CLIP | other).add("ce", 1, flat(80))
    sections = sections_of(tmp_path)
    assert len(sections) == 2
    assert len({section.folder for section in sections}) == 2
    assert len({section.title for section in sections}) == 2


def test_every_caption_names_the_encoder(tmp_path: Path) -> None:
    results = Results(tmp_path, encoder=CLIP)
    for method in ("ce", "sade"):
        for strategy in ("none", "em"):
            results.add(method, 0, flat(40), strategy=strategy)
    (section,) = sections_of(tmp_path)
    tables = build_tables(section, "9")
    assert {"main", "cost", "pairs", "adaptation"} <= {table.name for table in tables}
    for table in tables:
        assert f"heads on frozen features of the pre-trained {TOLD}" in table.caption, table.name


def test_what_the_encoder_has_seen_stands_under_the_table(tmp_path: Path) -> None:
    Results(tmp_path, encoder=CLIP).add("ce", 0, flat(40))
    (section,) = sections_of(tmp_path)
    assert any("has seen: not stated (data.encoder.overlap" in note for note in section.notes)
    Results(tmp_path / "b", encoder=CLIP | {"overlap": "all 100"}).add("ce", 1, flat(40))
    (section,) = sections_of(tmp_path / "b")
    told = "classes that the pre-trained encoder has seen: all 100"
    assert told in section.notes
    (main,) = [table for table in build_tables(section, "9") if table.name == "main"]
    assert told in main.notes
    Results(tmp_path / "c").add("ce", 1, flat(40))
    (section,) = sections_of(tmp_path / "c")
    assert not any("encoder" in note for note in section.notes)


def test_frozen_features_are_no_second_data_set(tmp_path: Path) -> None:
    def with_both(**settings: object) -> list[Section]:
        results = Results(tmp_path, **settings)  # type: ignore[arg-type]
        for method in ("ce", "sade"):
            results.add(method, 0, flat(40))
        return sections_of(tmp_path)

    with_both(data="pool", test_data="test")
    frozen = {"protocol": "toy-lt-frozen", "data": "f-pool", "test_data": "f-test"}
    sections = with_both(**frozen, encoder=CLIP, made_of="pool")
    assert [len(group) for group in by_images(sections)] == [2]
    assert build_overview(sections) is None
    with_both(
        protocol="toy-lt-timm", data="t", test_data="u", encoder={"name": "timm:x"}, made_of="pool"
    )
    sections = with_both(protocol="other-lt", data="own", test_data="other")
    assert sorted(len(group) for group in by_images(sections)) == [1, 3]
    overview = build_overview(sections)
    assert overview is not None
    assert {section.key.protocol for section in overview.sections} == {"other-lt", "toy-lt"}
    notes = overview_table(overview, "9").notes
    assert sum("on the same test images as another" in note for note in notes) == 2


def test_other_images_of_the_same_encoder_are_another_data_set(tmp_path: Path) -> None:
    for k in "ab":
        frozen = {"protocol": f"{k}-lt", "data": f"f{k}", "test_data": f"t{k}", "made_of": k}
        results = Results(tmp_path, **frozen, encoder=CLIP)  # type: ignore[arg-type]
        for method in ("ce", "sade"):
            results.add(method, 0, flat(40))
    overview = build_overview(sections_of(tmp_path))
    assert overview is not None
    assert len(overview.sections) == 2


def test_strict_refuses_both_and_no_note_names_what_no_table_would_hold(tmp_path: Path) -> None:
    two_of_one_protocol(tmp_path)
    sections = sections_of(tmp_path)
    with pytest.raises(InputError, match="differ in encoder; report them apart"):
        refuse_mixtures(sections)
    noted = with_footnotes(sections)
    assert [len(section.notes) for section in noted] == [len(s.notes) for s in sections]


def test_files_of_the_report_are_named_by_the_encoder(tmp_path: Path) -> None:
    two_of_one_protocol(tmp_path / "results")
    build_report(tmp_path / "results", tmp_path / "out", figures=False)
    assert (tmp_path / "out" / "toy-lt" / "tables" / "main.csv").is_file()
    assert (tmp_path / "out" / "toy-lt-open-clip-ViT-B-16" / "tables" / "main.csv").is_file()


def test_a_damaged_encoder_makes_the_record_unreadable(tmp_path: Path) -> None:
    Results(tmp_path, encoder={"weights": "x"}).add("ce", 0, flat(40))
    (unreadable, *_) = read_records(tmp_path).unreadable
    assert "encoder" in unreadable.reason
