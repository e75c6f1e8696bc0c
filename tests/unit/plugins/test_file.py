"""A ``--plugin`` file and the modules beside it: each gets its own, and as they are now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ltbench.errors import InputError
from ltbench.registry import load_registries

PLUGIN = """
{imports}
from ltbench import Method

class Mine(Method):
    name = title = "{name}"
    factor = {factor}

    def loss(self, logits, targets, *, progress, rng=None):
        from helpers import FACTOR
        import package.inner as inner
        return FACTOR, inner.DEEP
"""


def write(folder: Path, name: str, factor: float, **more: str) -> str:
    (folder / "package").mkdir(parents=True, exist_ok=True)
    imports, expression = more.get("imports", "import helpers"), more.get("value", "helpers.FACTOR")
    text = PLUGIN.format(imports=imports, name=name, factor=expression)
    (folder / "plugin.py").write_text(text)
    (folder / "helpers.py").write_text(f"FACTOR = {factor}\n")
    (folder / "package/__init__.py").write_text("")
    (folder / "package/inner.py").write_text("import helpers\nDEEP = helpers.FACTOR\n")
    return str(folder / "plugin.py")


def factors(*files: str) -> dict[str, object]:
    """Of each plugin: its factor, and what its imports while it runs get."""
    found: dict[str, object] = {}
    for name, plugin in load_registries(files).methods.plugins.items():
        if hasattr(plugin.cls, "factor"):
            found[name] = (plugin.cls.factor, plugin.cls.loss(None, None, None, progress=0.0))
    return found


def test_two_plugins_each_get_their_own_helpers(tmp_path: Path) -> None:
    files = [write(tmp_path / "a", "one", 1.0), write(tmp_path / "b", "two", 2.0)]
    expected = {"one": (1.0, (1.0, 1.0)), "two": (2.0, (2.0, 2.0))}
    assert factors(*files) == factors(*reversed(files)) == expected
    assert "helpers" not in sys.modules
    assert not any(str(tmp_path) in entry for entry in sys.path)


def test_an_edited_helper_is_read_again(tmp_path: Path) -> None:
    """Also where time and size of the file are the same: no cached bytecode stands in."""
    file = write(tmp_path, "one", 1.0)
    first = load_registries([file]).methods.get("one").digest
    assert factors(file) == {"one": (1.0, (1.0, 1.0))}
    write(tmp_path, "one", 3.0)
    assert factors(file) == {"one": (3.0, (3.0, 3.0))}
    assert load_registries([file]).methods.get("one").digest != first
    write(tmp_path, "one", 1.0)
    assert factors(file) == {"one": (1.0, (1.0, 1.0))}
    assert load_registries([file]).methods.get("one").digest == first
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("imports", "value"),
    [
        ("from helpers import FACTOR", "FACTOR"),
        ("from .helpers import FACTOR", "FACTOR"),
        ("from . import helpers", "helpers.FACTOR"),
        ("import package.inner", "package.inner.DEEP"),
        ("from package import inner", "inner.DEEP"),
        ("from package.inner import *", "DEEP"),
        ("import helpers as torch", "torch.FACTOR"),
    ],
)
def test_every_way_to_import_them(tmp_path: Path, imports: str, value: str) -> None:
    file = write(tmp_path, "one", 7.0, imports=imports, value=value)
    assert factors(file) == {"one": (7.0, (7.0, 7.0))}


def test_a_helper_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a", "one", 1.0)
    (tmp_path / "lib").mkdir()
    (tmp_path / "a/helpers.py").rename(tmp_path / "lib/helpers.py")
    with pytest.raises(InputError, match=r"cannot be imported: ModuleNotFoundError: .*'helpers'"):
        load_registries([file])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    assert factors(file) == {"one": (1.0, (1.0, 1.0))}


def test_a_broken_helper_is_one_line_without_private_names(tmp_path: Path) -> None:
    file = write(tmp_path, "one", 1.0, imports="import helpers, package.absent")
    with pytest.raises(InputError, match=r"No module named 'package\.absent'") as caught:
        load_registries([file])
    assert "ltbench_plugin" not in str(caught.value)
    write(tmp_path, "one", 1.0)
    (tmp_path / "helpers.py").write_text("def broken(:\n")
    with pytest.raises(InputError, match="cannot be imported: SyntaxError"):
        load_registries([file])
    write(tmp_path, "one", 1.0)
    assert "one" in factors(file)


def test_a_file_name_that_is_no_module_name(tmp_path: Path) -> None:
    file = Path(write(tmp_path, "one", 1.0))
    odd = file.rename(tmp_path / "my-plugin.v2.py")
    assert factors(str(odd)) == {"one": (1.0, (1.0, 1.0))}
