"""The digest of a plugin's code: what changes it, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.plugins.code_digest import read_code
from ltbench.plugins.local_modules import BesideFile, OfPackage

MINE = '''
"""A method."""

import random
from dataclasses import dataclass
import torch
from ltbench import Method
from helpers import scale


@dataclass(frozen=True)
class Mine(Method):
    """Cross-entropy."""

    name = "mine"

    def loss(self, logits, targets, *, progress, rng=None):
        """The loss."""
        return scale(logits) * f"{1.0!r:>{targets}} {logits}" if targets else {**logits, 'a': None}
'''


def digest(file: Path) -> str:
    return read_code(file, BesideFile(file.parent)).digest


def put(folder: Path, **files: str) -> Path:
    """Files by name, without ``.py``; the first one."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / f"{next(iter(files))}.py"


def test_it_is_the_same_on_every_version_of_python(tmp_path: Path) -> None:
    """Written once: a syntax tree that another version tells otherwise must not change it."""
    file = put(
        tmp_path, mine=MINE, helpers="def scale(x, /, *, y: int = 0x10): return x[..., 1:]\n"
    )
    assert digest(file) == "7f32cfbb657156c3"


def test_comments_docstrings_and_layout_do_not_count(tmp_path: Path) -> None:
    one = put(tmp_path / "a", mine=MINE, helpers="def scale(x):\n    return x * 2.0\n")
    text = MINE.replace('"""The loss."""', '"""Another."""\n\n        # a comment')
    text = text.replace("'a'", '"a"').replace('"""A method."""', "")
    other = put(
        tmp_path / "b",
        mine=text.replace("import random\n", "import random  # why\n\n\n"),
        helpers='"""Docs."""\n\n\ndef scale(x):\n    pass\n    return (x * 2.0)  # twice\n',
    )
    assert digest(one) == digest(other)
    codes = [read_code(file, BesideFile(file.parent)) for file in (one, other)]
    assert codes[0].stamp != codes[1].stamp  # so that a traceback names the right line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("progress, rng", "rng, progress"),
        ("!r:>", "!s:>"),
        ("None}", "0}"),
        ("None}", "False}"),
        ("1.0", "1"),
        ("frozen=True", "frozen=False"),
        ('"mine"', '"mine "'),
    ],
)
def test_whatever_is_computed_counts(tmp_path: Path, before: str, after: str) -> None:
    file = put(tmp_path, mine=MINE)
    first = digest(file)
    assert before in MINE
    file.write_text(MINE.replace(before, after))
    assert digest(file) != first


def test_neither_path_nor_name_of_the_file_counts(tmp_path: Path) -> None:
    files = [put(tmp_path / "a", mine=MINE), put(tmp_path / "b/c", other=MINE)]
    assert len({digest(file) for file in files}) == 1


@pytest.mark.parametrize(
    ("imports", "changed"),
    [
        ("import helpers", "helpers"),
        ("from helpers import f", "helpers"),
        ("from .helpers import f", "helpers"),
        ("from . import helpers", "helpers"),
        ("def g():\n    import helpers", "helpers"),
        ("import importlib\nx = importlib.import_module('helpers')", "helpers"),
        ("import helpers", "deeper"),  # what helpers imports
        ("import package.inner as p", "package/inner"),
        ("from package import inner", "package/inner"),
        ("import package.inner", "package/__init__"),
        ("from folder.part import x", "folder/part"),
        ("from package.inner import x", "helpers"),  # by way of a relative import
    ],
)
def test_local_modules_count(tmp_path: Path, imports: str, changed: str) -> None:
    files = {
        "mine": imports,
        "helpers": "import deeper\n",
        "deeper": "import mine\n",  # in a circle
        "package/__init__": "a = 1\n",
        "package/inner": "from ..helpers import f\n",
        "folder/part": "x = 1\n",
        "unrelated": "x = 1\n",
    }
    file = put(tmp_path, **files)
    first = digest(file)
    put(tmp_path, **{changed: files[changed] + "edited = True\n"})
    assert digest(file) != first
    put(tmp_path, **files)
    assert digest(file) == first
    put(tmp_path, unrelated="x = 2\n")
    assert digest(file) == first


def test_what_is_not_local_does_not_count(tmp_path: Path) -> None:
    """A file beside it that is called like a module of the standard library is not imported."""
    file = put(tmp_path, mine="import random, torch, ltbench.method\n", random="x = 1\n")
    first = digest(file)
    put(tmp_path, random="x = 2\n")
    put(tmp_path / "ltbench", method="x = 2\n")
    assert digest(file) == first


def test_imports_for_types_alone_do_not_count(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import helpers\n"
    file = put(tmp_path, mine=text, helpers="x = 1\n")
    first = digest(file)
    put(tmp_path, helpers="x = 2\n")
    assert digest(file) == first


def test_a_helper_on_the_path_counts_as_one_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = put(tmp_path / "a", mine="import helpers\n", helpers="x = 1\n")
    apart = put(tmp_path / "b", mine="import helpers\n")
    put(tmp_path / "lib", helpers="x = 1\n")
    assert digest(apart) != digest(beside)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    assert digest(apart) == digest(beside)
    put(tmp_path / "lib", helpers="x = 2\n")
    assert digest(apart) != digest(beside)
    (tmp_path / "lib/other-1.0.dist-info").mkdir()  # others' packages are installed there
    assert digest(apart) == digest(put(tmp_path / "c", mine="import helpers\n"))


def test_a_method_built_on_one_of_ltbench_follows_it(tmp_path: Path) -> None:
    text = "from ltbench.methods.train.sade import SADE\n"
    file = put(tmp_path, mine=text)
    modules = BesideFile(tmp_path)
    assert modules.absolute("ltbench.methods.train.sade") == "ltbench.methods.train.sade"
    found = modules.find("ltbench.methods.train.sade")
    assert found is not None
    assert found.name == "sade.py"
    assert modules.absolute("ltbench.session") is None

    class Edited(BesideFile):
        def find(self, name: str) -> Path | None:
            return put(tmp_path, edited="x = 1\n") if name.endswith("sade") else super().find(name)

    assert read_code(file, Edited(tmp_path)).digest != digest(file)


def test_the_package_of_an_entry_point_counts(tmp_path: Path) -> None:
    text = "from lab.tools import f\nfrom .near import g\nimport second\nimport third\n"
    put(tmp_path / "lab", __init__="", mine=text, tools="x = 1\n", near="x = 1\n")
    put(tmp_path, second="x = 1\n", third="x = 1\n")
    file = tmp_path / "lab/mine.py"
    modules = OfPackage("lab.mine", file, ["lab", "second"])
    first = read_code(file, modules).digest
    for name, counts in (("lab/tools", 1), ("lab/near", 1), ("second", 1), ("third", 0)):
        put(tmp_path, **{name: "x = 2\n"})
        assert (read_code(file, modules).digest != first) == bool(counts)
        put(tmp_path, **{name: "x = 1\n"})


def test_what_is_no_python_counts_byte_by_byte(tmp_path: Path) -> None:
    file = put(tmp_path, mine="def broken(:\n")
    first = digest(file)
    file.write_text("def broken(:  # comment\n")
    assert digest(file) != first
    file.write_text("x = " + "-" * 100_000 + "1\n")  # nested too deeply
    assert digest(file)
    file.write_text("x = 0x" + "f" * 5000)  # too long for decimal text
    assert digest(file)
