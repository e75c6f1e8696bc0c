"""The table of shipped code, and a user's own files in the folders of ltbench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ltbench import registry
from ltbench.plugins import shipped
from ltbench.registry import load_registries


@pytest.fixture
def fresh() -> Iterator[None]:
    registry._load.cache_clear()
    yield
    registry._load.cache_clear()


def test_the_table_tells_the_code_as_it_is() -> None:
    """A file that it does not name is a user's own, also in this folder."""
    tree = shipped.table_of_tree()
    for kind, table in shipped.read_table().items():
        for name, known in table.items():
            assert tree[kind].get(name) == known, (
                f"the code of {kind} {name} is not that of ltbench/plugins/shipped_code.json. If what it "
                "computes has changed, raise its `version`; then `python -m ltbench.plugins.shipped` writes "
                "the table"
            )


def test_published_names_stand_on_shipped_code() -> None:
    registries = load_registries()
    for name in shipped.read_table()["method"]:
        assert registries.methods.get(name).digest == ""
    for name in shipped.read_table()["strategy"]:
        assert registries.strategies.get(name).digest == ""


@pytest.mark.usefixtures("fresh")
def test_an_edited_file_of_ltbench_has_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    table = shipped.read_table()
    edited = {**table, "method": {**table["method"], "ce": {"version": 1, "digest": "of before"}}}
    monkeypatch.setattr(shipped, "read_table", lambda: edited)
    methods = load_registries().methods
    assert len(methods.get("ce").digest) == 16
    assert methods.get("sade").digest == ""


@pytest.mark.usefixtures("fresh")
def test_a_file_of_ones_own_in_the_folder_has_a_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ltbench.methods.adapt as folder

    (tmp_path / "own_strategy.py").write_text(
        "from ltbench.methods.adapt.none import NoAdaptation\n\n\n"
        "class Own(NoAdaptation):\n    name = title = 'own'\n"
    )
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    strategies = load_registries().strategies
    assert len(strategies.get("own").digest) == 16
    assert strategies.get("none").digest == ""
