"""The page of results: generated, the same from the same records, short budgets told apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ltbench.cli.report import command
from ltbench.report.build import build_report

from .builder import Results, flat

PUBLISHED = Path(__file__).resolve().parents[3] / "results" / "published"


def fill(root: Path, protocol: str) -> None:
    results = Results(root, protocol=protocol, ratios=(50, 10))
    for seed in (0, 1):
        results.add("ce", seed, flat(50.0))
        results.add(
            "sade",
            seed,
            lambda name, s, r: 60.0 + s,
            experts=3,
            weights=lambda name, s, r: [0.2, 0.3, 0.5],
            agreement=lambda expert, group: 0.9 + 0.01 * expert,
        )


def sections_of(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_table_of_the_paper_is_there_and_twice_the_same(tmp_path: Path) -> None:
    fill(tmp_path, "toy-lt")
    page = tmp_path / "README.md"
    build_report(tmp_path, figures=False, readme=page)
    first = page.read_bytes()
    build_report(tmp_path, figures=False, readme=page)
    assert page.read_bytes() == first
    text = first.decode()
    for title in (
        *("Top-1 accuracy over test label distributions", "Partial-class test sets", "Cost"),
        *("Many, medium and few-shot classes on the uniform test set", "Learned expert weights"),
        *("Each expert alone on the uniform test set", "Prediction stability of each expert"),
        "Each expert alone over test label distributions",
    ):
        assert text.count(f"**{title}**") == 1, title
    assert "4 trials; seeds 0, 1; 3 epochs; trained on cpu." in text
    assert "short budget" not in text
    assert "`ltbench report` writes them to `report/toy-lt/report.md`." in text
    assert ".png" not in text  # none was drawn, none is linked
    assert (tmp_path / "report/toy-lt/report.md").is_file()


def test_a_short_budget_is_marked_in_title_list_and_every_table(tmp_path: Path) -> None:
    """Records of 3 epochs; the published figures of cifar100-lt were trained for 200."""
    for protocol in ("toy-lt", "cifar100-lt-short"):
        fill(tmp_path, protocol)
    page = tmp_path / "README.md"
    build_report(tmp_path, figures=False, readme=page)
    text = page.read_text(encoding="utf-8")
    parts = sections_of(text)
    toy, short = (next(v for k, v in parts.items() if n in k) for n in ("toy-lt", "cifar100"))
    assert [t for t in parts if t.endswith("short budget")] == [t for t in parts if "cifar100" in t]
    assert "**Short budget**: 3 epochs, where the published figures were trained for 200." in short
    titles = re.findall(r"^\*\*([^*]+)\*\*$", short, flags=re.MULTILINE)
    assert len(titles) >= 8
    assert all(title.endswith("(short budget)") for title in titles)
    assert "short budget" not in toy.lower()
    assert "Published, quoted (other budget) (short budget)" in titles
    assert "| ce | quoted, sade-readme | – | 62.3 |" in short
    listed = [line for line in text.splitlines() if line.startswith("- [")]
    assert [("short budget" in line) for line in listed] == [
        ("cifar100" in line) for line in listed
    ]
    anchors = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(anchors) == 2
    assert all(f'<a id="{anchor}"></a>' in text for anchor in anchors)


def test_what_people_wrote_is_put_in_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, "toy-lt")
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "first.md").write_text("# Mine\n\nHello *you*.\n", encoding="utf-8")
    (notes / "toy-lt.md").write_text("\n    ltbench run\n\n- it falls\n", encoding="utf-8")
    (notes / "last.md").write_text("The end.\n", encoding="utf-8")
    page = tmp_path / "README.md"
    done = CliRunner().invoke(
        command, ["--results", str(tmp_path), "--no-figures", "--readme", str(page)]
    )
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert "\n\n# Mine\n\nHello *you*.\n\n" in text
    assert "# Results" not in text
    assert "\n\n    ltbench run\n\n- it falls\n\n**Top-1" in text
    assert text.endswith("\n\nThe end.\n")


def test_figures_are_linked_where_they_lie(tmp_path: Path, no_pdf: None) -> None:
    fill(tmp_path / "results", "toy-lt")
    page = tmp_path / "docs" / "results.md"
    build_report(tmp_path / "results", readme=page)
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert "../results/report/toy-lt/figures/accuracy-over-shift.png" in links
    assert all((page.parent / link).is_file() for link in links)


def test_the_published_page_is_made_by_its_command(tmp_path: Path) -> None:
    """`ltbench report --results results/published --readme results/published/README.md`"""
    results = tmp_path / "published"
    results.mkdir()
    for folder in PUBLISHED.iterdir():
        if folder.is_dir() and folder.name != "report":
            (results / folder.name).symlink_to(folder)
    for picture in PUBLISHED.glob("report/*/figures/*.png"):  # drawn before, linked now
        copy = results / picture.relative_to(PUBLISHED)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(picture.read_bytes())
    page = results / "README.md"
    build_report(results, figures=False, readme=page)  # the command without what it prints
    assert page.read_text(encoding="utf-8") == (PUBLISHED / "README.md").read_text(encoding="utf-8")
    for name in ("report.html", "index.md", "results.parquet", "digits-lt/tables/main.csv"):
        assert (results / "report" / name).stat().st_size > 0


@pytest.mark.parametrize("protocol", ["cifar100-lt", "cifar100-lt-short", "digits-lt"])
def test_published_epochs_are_those_of_the_sources(protocol: str) -> None:
    from ltbench.report.published.quoted import published_epochs

    assert published_epochs(protocol) == (None if protocol == "digits-lt" else 200)
