"""Packaging: every folder with modules is shipped, and the symlinks that tools need are there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "setuptools"
]


def folders_with_modules() -> set[str]:
    """Package names of all folders below ltbench, methods and protocols that hold Python files."""
    found = set()
    for top in ("ltbench", "methods", "protocols"):
        name = top if top == "ltbench" else f"ltbench.{top}"
        for init in (ROOT / top).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / top).parts
            if not (top == "ltbench" and parts[:1] in (("methods",), ("protocols",))):
                found.add(".".join((name, *parts)))
    return found


def test_every_package_is_listed_once() -> None:
    listed = SETUPTOOLS["packages"]
    assert len(listed) == len(set(listed))
    assert set(listed) == folders_with_modules()


def test_no_folder_with_modules_lacks_its_init() -> None:
    for top in ("ltbench", "methods", "protocols"):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), module


@pytest.mark.parametrize("name", ["methods", "protocols"])
def test_the_symlinks_lead_to_the_top_level_folders(name: str) -> None:
    link = ROOT / "ltbench" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert SETUPTOOLS["package-dir"][f"ltbench.{name}"] == name


def test_the_data_files_are_shipped() -> None:
    data = SETUPTOOLS["package-data"]
    assert data["ltbench.protocols"] == ["*.toml"]
    assert (ROOT / "ltbench" / "py.typed").is_file()
    assert "py.typed" in data["ltbench"]


def test_methods_are_one_class_under_one_name() -> None:
    from ltbench.methods.train.sade import Sade
    from ltbench.registry import load_registries

    assert load_registries().methods.get("sade").cls is Sade
    assert Sade.__module__ == "ltbench.methods.train.sade"
