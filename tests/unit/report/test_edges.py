"""Selections, strictness, quoted figures, macros, templates, many methods; golden tables, pictures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images

from ltbench.errors import InputError
from ltbench.report.build import build_report
from ltbench.report.figures import all as all_figures
from ltbench.report.figures.all import build_figures
from ltbench.report.figures.style import looks
from ltbench.report.page.picture import figure_files, save_files
from ltbench.report.records.read import read_records
from ltbench.report.render.latex import render_latex
from ltbench.report.render.macros import macro_word
from ltbench.report.render.text import render_markdown
from ltbench.report.render.user_template import fill_template
from ltbench.report.rows.sections import Section, build_sections
from ltbench.report.selection import Selection
from ltbench.report.statistics.regret import oracles, regret
from ltbench.report.tables.all import build_tables
from ltbench.report.tables.table import Table

from .builder import Results, flat

pytestmark = pytest.mark.usefixtures("no_pdf")

GOLDEN = Path(__file__).parent / "golden"
UPDATE = bool(os.environ.get("LTBENCH_UPDATE_GOLDEN"))  # rewrite, then look at what changed
TOLERANCE = (
    12.0  # root mean square of grey levels: other versions of matplotlib shift text a little
)

SHIFT = {"forward10": 9.0, "forward2": 3.0, "uniform": 0.0, "backward2": -4.0, "backward10": -11.0}


def study(root: Path) -> Results:
    """Three methods, four seeds; all that a record can tell, with numbers that need no chance."""
    results = Results(root, images=40)
    for seed in range(4):
        wobble = (0.0, 0.6, -0.4, 0.2)[seed]

        def score(name: str, s: int, draw: int, w: float = wobble) -> float:
            return 60.0 + SHIFT.get(name, 5.0) + w + 0.1 * draw

        def flatter(name: str, s: int, draw: int, w: float = wobble) -> float:
            return 64.0 + 0.4 * SHIFT.get(name, 5.0) - w + 0.1 * draw

        def best(name: str, s: int, draw: int, w: float = wobble) -> float:
            return 68.0 + 0.5 * abs(SHIFT.get(name, 5.0)) + w

        results.add("ce", seed, score)
        results.add("ce", seed, best, strategy="oracle", oracle=True)
        results.add("sade", seed, flatter, experts=2, weights=weigh, agreement=agree)
        results.add(
            "sade",
            seed,
            flatter,
            experts=2,
            strategy="em",
            prior=lambda n, s, d: [0.4, 0.3, 0.2, 0.1],
        )
    results.fail("ride", 1)
    return results


def weigh(name: str, seed: int, draw: int) -> list[float]:
    tilt = 0.5 + SHIFT.get(name, 0.0) / 40
    return [tilt, 1.0 - tilt]


def agree(expert: int, group: str) -> float:
    return 0.5 + 0.1 * expert + 0.01 * len(group)


def only_section(root: Path) -> Section:
    (section,) = build_sections(read_records(root))[0]
    return section


def tables_of(root: Path) -> dict[str, Table]:
    return {table.name: table for table in build_tables(only_section(root), "9.9.9")}


def test_golden_tables(tmp_path: Path) -> None:
    study(tmp_path)
    text = "\n".join(render_markdown(table) for table in tables_of(tmp_path).values())
    path = GOLDEN / "tables.md"
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.skipif(
    tuple(map(int, matplotlib.__version__.split(".")[:2])) < (3, 10),
    reason="earlier versions of matplotlib lay out text otherwise",
)
def test_pictures_look_as_before(tmp_path: Path) -> None:
    study(tmp_path / "r")
    section = only_section(tmp_path / "r")
    drawn = looks((row.label, row.method) for row in section.rows)
    names = []
    for drawing in build_figures(section, drawn):
        png, _ = save_files(drawing.name, figure_files(drawing), tmp_path)
        golden = GOLDEN / png.name
        if UPDATE:
            shutil.copy(png, golden)
        assert compare_images(str(golden), str(png), TOLERANCE) is None
        names.append(png.name)
    assert sorted(names) == sorted(path.name for path in GOLDEN.glob("*.png"))
    other = next(path for path in GOLDEN.glob("*.png") if path.name == "groups.png")
    blank = shutil.copy(GOLDEN / "groups.png", tmp_path / "blank.png")
    from PIL import Image

    with Image.open(other) as image:
        Image.new("RGB", image.size, "white").save(blank)
    assert compare_images(str(other), str(blank), TOLERANCE) is not None  # the tolerance can fail


def test_priors_of_every_sign_of_shift_are_drawn(tmp_path: Path) -> None:
    """The diagonal of a doubly logarithmic panel goes through two points, not along a slope."""
    study(tmp_path)
    section = only_section(tmp_path)
    (drawing,) = [
        d
        for d in build_figures(section, looks((row.label, row.method) for row in section.rows))
        if d.name == "priors"
    ]
    for path in save_files(drawing.name, figure_files(drawing), tmp_path):
        assert path.stat().st_size > 0


def test_regret_is_paired_by_trial_and_needs_a_bias_that_is_known(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    results.add("ce", 0, flat(58), strategy="oracle", oracle=True)
    results.add("logit-adjustment", 0, flat(55), training="ce")
    results.add("ride", 0, flat(60), experts=3)
    unreliable = {"kind": "reference"}
    results.add("ride", 0, flat(70), strategy="oracle", experts=3, oracle=True, bias=unreliable)
    section = only_section(tmp_path)
    known = oracles(section.rows)
    found = {row.label: regret(row, known, "uniform") for row in section.rows}
    assert found["ce"] == {0: 8.0}
    assert found["logit-adjustment"] == {0: 3.0}
    assert found["ride"] == found["ce+oracle"] == {}


def test_selection_of_methods_columns_and_decimals(tmp_path: Path) -> None:
    study(tmp_path)
    chosen = Selection(methods=("sade",), columns=("F10", "mean"), decimals=2, group_by="strategy")
    outcome = build_report(tmp_path, figures=False, selection=chosen)
    text = (outcome.sections[0] / "tables" / "main.md").read_text(encoding="utf-8")
    assert "| Method | n | F10 | Mean |" in text
    assert "| *em:* |" in text
    assert "67.55" in text
    assert "| ce " not in text
    assert "of 5 rows are not shown" in text
    assert "Mean is over" in text
    assert "Worst is" not in text, "a caption explains the columns that are there"
    for bad in (
        Selection(methods=("sad",)),
        Selection(columns=("F11",)),
    ):
        with pytest.raises(InputError, match="did you mean"):
            build_report(tmp_path, figures=False, selection=bad)
    with pytest.raises(InputError, match="from 0 to 6"):
        Selection(decimals=9)


def test_mixed_conditions_are_footnoted_and_strict_refuses_them(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    build_report(tmp_path, figures=False, strict=True)
    Results(tmp_path, variant="recipe.epochs=40").add("ce", 0, flat(50))
    outcome = build_report(tmp_path, figures=False)
    text = (outcome.sections[0] / "tables" / "main.md").read_text(encoding="utf-8")
    assert "not merged with" in text
    with pytest.raises(InputError, match="differ in variant"):
        build_report(tmp_path, figures=False, strict=True)


def test_a_fragment_names_the_packages_that_it_needs(tmp_path: Path) -> None:
    results = Results(tmp_path, protocol="cifar100-lt", ratios=(10, 50))
    results.add("ce", 0, flat(50))
    tables = tables_of(tmp_path)
    plain = "% needs \\usepackage{booktabs} \\usepackage{graphicx}"
    assert render_latex(tables["main"], "x").splitlines()[0] == plain
    assert render_latex(tables["quoted"], "x").splitlines()[0] == f"{plain} \\usepackage{{xcolor}}"
    aligned = render_latex(tables["main"], "x", siunitx=True).splitlines()
    assert aligned[0] == f"{plain} \\usepackage{{siunitx}}"
    assert aligned[1].startswith("%")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_a_fragment_compiles_with_the_packages_that_it_names(tmp_path: Path) -> None:
    results = Results(tmp_path, protocol="cifar100-lt", ratios=(10, 50))
    results.add("ce", 0, flat(50))
    for name, table in tables_of(tmp_path).items():
        fragment = render_latex(table, name)
        packages = fragment.splitlines()[0].removeprefix("% needs ")
        text = (
            f"\\documentclass{{article}}{packages}\\begin{{document}}\n{fragment}\\end{{document}}"
        )
        (tmp_path / "m.tex").write_text(text, encoding="utf-8")
        if name in ("main", "quoted"):
            done = subprocess.run(
                ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "m.tex"],
                cwd=tmp_path,
                capture_output=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_macro_names_are_letters() -> None:
    assert macro_word("sade+none[tau=1] F50") == "SadePlusNoneTauOneFFiveZero"
    assert macro_word("中") == ""


def test_template_sees_the_tables(tmp_path: Path) -> None:
    Results(tmp_path / "r").add("ce", 0, flat(50))
    template = tmp_path / "mine.txt.jinja"
    template.write_text(
        "{% for item in sections %}{% for row in item.by_name.main.blocks[0].rows %}"
        "{{ row[0] }}={{ (row[5] | printed(2)).main }};{% endfor %}{% endfor %}"
    )
    outcome = build_report(tmp_path / "r", figures=False, template=template)
    assert (outcome.output / "mine.txt").read_text() == "ce=50.00;"
    template.write_text("{{ nothing }}")
    with pytest.raises(InputError, match=r"template .*nothing"):
        build_report(tmp_path / "r", figures=False, template=template)
    with pytest.raises(InputError, match="is no file"):
        build_report(tmp_path / "r", figures=False, template=tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("{% include 'secret.txt' %}", 1, "no loader"),
        ("{% extends '/etc/passwd' %}", 1, "no loader"),
        ("a\n{{ ''.__class__.__mro__ }}", 2, "unsafe"),
        ("a\n\n{{ 1 / 0 }}", 3, "division by zero"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", 1, "recursion"),
        ("{{ 9 ** 99999999 }}", 1, "more than"),
        ("{{ 'x' * 99999999999 }}", 1, "more than"),
        ("{{ lipsum(n=100000) }}", 1, "'lipsum' is undefined"),
        ("{{ ('a b' * 100000)|wordwrap(2) }}", 1, "wordwrap of more than 100000 characters"),
        ("{{ '%99999999999d' % 1 }}", 1, "not allowed"),
        (
            "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
            1,
            "range",
        ),
        ("a\n{% for", 2, "end of template"),
    ],
)
def test_a_template_reads_no_file_and_ends(
    text: str, line: int, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    template = tmp_path / "mine.txt.jinja"
    template.write_text(text)
    with pytest.raises(InputError, match=reason) as refused:
        fill_template(template, tmp_path, [])
    assert str(refused.value).startswith(f"template {template}:{line}: ")
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "mine.txt").exists()


def test_parquet_is_the_tidy_frame(tmp_path: Path) -> None:
    Results(tmp_path).add("ce", 0, flat(50))
    outcome = build_report(tmp_path, figures=False)
    frame = pd.read_parquet(outcome.output / "results.parquet")
    assert set(frame["distribution"]) >= {"uniform", "forward10"}
    assert (frame["top1"] == 50.0).all()


def test_a_hundred_methods_and_names_in_any_script(tmp_path: Path) -> None:
    results = Results(tmp_path, ratios=(2,), draws=1, parts=False)
    for k in range(100):
        results.add(f"метод-{k:02d} 中 é", 0, flat(20 + k / 2))
    outcome = build_report(tmp_path)
    text = (outcome.sections[0] / "tables" / "main.md").read_text(encoding="utf-8")
    assert text.count("| метод-") == 100
    page = (outcome.output / "report.html").read_text(encoding="utf-8")
    assert "метод-99 中 é" in page
    assert "12 of 100" in page  # figures show the best dozen and say so
    macros = (outcome.sections[0] / "tables" / "macros.tex").read_text(encoding="utf-8")
    names = [line.split("}")[0] for line in macros.splitlines() if line.startswith("\\newcommand")]
    assert len(set(names)) == len(names) > 100


def test_a_newer_record_a_half_written_one_and_a_nan_are_one_line_each(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add("ce", 0, flat(50))
    newer = results.add("a", 0, flat(50))
    newer.write_text(json.dumps(json.loads(newer.read_text()) | {"schema": 99}))
    half = results.add("b", 0, flat(50))
    half.write_text(half.read_text()[:200])
    nan = results.add("c", 0, flat(50))
    nan.write_text(nan.read_text().replace('"top1": 50', '"top1": NaN', 1))
    outcome = build_report(tmp_path, figures=False)
    reasons = {bad.path: bad.reason for bad in outcome.unreadable}
    assert "newer" in reasons[newer]
    assert half in reasons
    assert "is nan" in reasons[nan]
    page = (outcome.output / "report.html").read_text(encoding="utf-8")
    assert "Not counted" in page


def test_two_data_sets_get_an_overview_and_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_figures, "figure_kinds", lambda: ())  # none but those of the overview
    assert build_report(study(tmp_path / "a").root, figures=False).output.exists()
    assert not (tmp_path / "a" / "report" / "overall").exists()
    for protocol, test_data in (("one-lt", "11"), ("two-lt", "22")):
        results = Results(tmp_path / "b", protocol=protocol, test_data=test_data)
        for seed in range(3):
            results.add("ce", seed, flat(50 + seed))
            results.add("sade", seed, flat(60 + seed))
    outcome = build_report(tmp_path / "b")
    folder = outcome.output / "overall"
    text = (folder / "tables" / "overall.md").read_text(encoding="utf-8")
    assert "| sade | 3 | 61.0 ±" in text
    assert "No critical difference below 8" in text
    assert (folder / "figures" / "profiles.png").is_file()
    assert not (folder / "figures" / "critical-difference.png").exists()


def test_the_overview_weighs_distributions_alike_whatever_their_seeds(tmp_path: Path) -> None:
    """Five distributions with five seeds beside five with one: half of the mean from each."""
    for protocol, test_data, seeds, base in (("one-lt", "11", 5, 90), ("two-lt", "22", 1, 50)):
        results = Results(tmp_path, protocol=protocol, test_data=test_data)
        for seed in range(seeds):
            results.add("ce", seed, flat(base))
            results.add("sade", seed, flat(base - (10 if base == 90 else -8)))
    build_report(tmp_path, figures=False)
    text = (tmp_path / "report" / "overall" / "tables" / "overall.md").read_text(encoding="utf-8")
    assert "| ce | 1–5 | 70.0 |" in text
    assert "| sade | 1–5 | 69.0 |" in text
    assert "every distribution with equal weight" in text


def test_the_overview_marks_rows_and_says_why_a_section_is_left_out(tmp_path: Path) -> None:
    for protocol, test_data in (("one-lt", "11"), ("two-lt", "22"), ("bare-lt", "33")):
        results = Results(tmp_path, protocol=protocol, test_data=test_data)
        for method in ("ce", "sade"):
            path = results.add(method, 0, flat(50))
            if protocol == "bare-lt":  # partial test sets only
                record = json.loads(path.read_text())
                record["distributions"] = {
                    name: d for name, d in record["distributions"].items() if "only" in name
                }
                path.write_text(json.dumps(record))
        if protocol == "two-lt":
            results.add("ce", 0, flat(45), strategy="tent", first_draw_only=True)
            results.add("ce", 0, flat(45), mode="augmented")
        if protocol == "one-lt":
            results.add("ce", 0, flat(45), strategy="tent")
    results = Results(tmp_path, protocol="one-lt", test_data="11", variant="a=1")
    results.add("ce", 0, flat(50))
    build_report(tmp_path, figures=False)
    text = (tmp_path / "report" / "overall" / "tables" / "overall.md").read_text(encoding="utf-8")
    assert "| ce+tent§ |" in text
    assert re.search(r"^§ ce\+tent: draw 0 only.*\(TWO-LT.*\)$", text, re.MULTILINE)
    assert (
        "left out, on the same test images as another: ONE-LT (one-lt version 1.0, variant" in text
    )
    assert "left out, evaluation mode augmented: TWO-LT" in text
    assert "left out, without forward, uniform or backward test sets: BARE-LT" in text
    assert text.count("left out, ") == 3


@pytest.mark.skipif(
    shutil.which("kpsewhich") is None
    or not subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True, check=False).stdout,
    reason="LaTeX with siunitx is not installed",
)
def test_siunitx_compiles(tmp_path: Path) -> None:
    study(tmp_path)
    (folder,) = build_report(tmp_path, figures=False, siunitx=True).sections
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
