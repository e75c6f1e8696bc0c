"""Finding plugins: files, entry points, clashes, broken ones, bad names."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ltbench import registry as module
from ltbench.errors import InputError
from ltbench.method import Method
from ltbench.protocol import registry as protocol_registry
from ltbench.protocol.registry import find_protocols
from ltbench.registry import load_backbones, load_encoders, load_registries, load_sources

PLUGIN = """
from typing import ClassVar
from ltbench.method import Method, Reference


class {cls}(Method):
    name: ClassVar = {name!r}
    title: ClassVar = "a title"
    reference: ClassVar = Reference("A", "B", "C", 2020, "https://example.org")

    def loss(self, logits, targets, *, progress, rng=None):
        return logits.sum()
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a plugin file; its path. Fresh paths keep the registry's memory out of the way."""

    def write(
        text: str = "", *, file: str = "plugin.py", name: str = "mine", cls: str = "Mine"
    ) -> str:
        path = tmp_path / file
        path.write_text(textwrap.dedent(text) if text else PLUGIN.format(name=name, cls=cls))
        return str(path)

    return write


def _forget() -> None:
    module._load.cache_clear()
    module._load_sources.cache_clear()
    module._load_backbones.cache_clear()
    module._load_encoders.cache_clear()


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Declares entry points; the registry forgets what it found before and after."""
    declared: list[EntryPoint] = []

    def fake(group: str) -> list[EntryPoint]:
        return [entry for entry in declared if entry.group == group]

    def declare(name: str, value: str, group: str) -> None:
        declared.append(EntryPoint(name, value, group))

    monkeypatch.setattr(module, "entry_points", fake)
    monkeypatch.setattr(protocol_registry, "entry_points", fake)
    _forget()
    yield declare
    _forget()


@pytest.fixture
def importable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Modules that entry points can name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    names: list[str] = []

    def add(name: str, text: str) -> None:
        (folder / f"{name}.py").write_text(text)
        names.append(name)

    yield add
    for name in names:
        sys.modules.pop(name, None)


# -- files ---------------------------------------------------------------------------------------


def test_a_file_adds_a_method_with_origin_and_digest(write: Write) -> None:
    path = write()
    plugin = load_registries([path]).methods.get("mine")
    assert plugin.origin == path
    assert len(plugin.digest) == 16
    assert issubclass(plugin.cls, Method)
    assert "ce" in load_registries([path]).methods.plugins
    assert "mine" not in load_registries().methods.plugins


def test_own_methods_carry_no_digest() -> None:
    assert load_registries().methods.get("ce").digest == ""


def test_the_digest_follows_the_file(write: Write) -> None:
    one = load_registries([write(file="one.py")]).methods.get("mine").digest
    other = load_registries([write(file="two.py", cls="Other")]).methods.get("mine").digest
    assert one != other


def test_a_name_taken_by_a_file_is_refused_with_both_origins(write: Write) -> None:
    path = write(name="ce")
    with pytest.raises(InputError, match="two methods are called 'ce'") as caught:
        load_registries([path])
    assert "ltbench.methods.train.cross_entropy" in str(caught.value)
    assert path in str(caught.value)


def test_two_files_with_one_name_are_refused_with_both_origins(write: Write) -> None:
    one, two = write(file="one.py"), write(file="two.py")
    with pytest.raises(InputError, match="two methods are called 'mine'") as caught:
        load_registries([one, two])
    assert one in str(caught.value)
    assert two in str(caught.value)


def test_two_classes_of_one_name_in_one_file_are_refused(write: Write) -> None:
    text = PLUGIN.format(name="mine", cls="One") + PLUGIN.format(name="mine", cls="Two")
    with pytest.raises(InputError, match="two methods are called 'mine'"):
        load_registries([write(text)])


def test_the_same_file_twice_is_one_plugin(write: Write) -> None:
    path = write()
    assert load_registries([path]).methods.get("mine").origin == path


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "CON", "con", "x" * 300, "naïve", "方法", "", "a b", ".x", 7]
)
def test_bad_names_are_refused(write: Write, name: object) -> None:
    text = PLUGIN.format(name=name, cls="Mine")
    path = write(text)
    with pytest.raises(InputError, match="is not usable") as caught:
        load_registries([path])
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:\n", "cannot be imported: SyntaxError"),
        ("raise RuntimeError('two\\nlines')\n", "cannot be imported: RuntimeError: two$"),
        ("import no_such_module_anywhere\n", "cannot be imported: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "cannot be imported: SystemExit"),
        ("x = 1\n", "defines no Method, no Strategy, no DataSource, no Backbone and no Encoder"),
        ("from ltbench.methods.train.cross_entropy import CrossEntropy\n", "defines no Method"),
        (
            "from ltbench.method import Method\nclass A(Method):\n    name = 'aa'\n",
            "A does not define loss",
        ),
    ],
)
def test_unusable_files_are_refused_in_one_line(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(InputError, match=message) as caught:
        load_registries([path])
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_registries([str(tmp_path / "nowhere.py")])
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"must be a \.py or a \.toml file"):
        load_registries([str(tmp_path / "notes.txt")])


def test_a_failed_file_can_be_repaired_and_loaded(write: Write) -> None:
    path = write("raise RuntimeError('not yet')\n")
    with pytest.raises(InputError):
        load_registries([path])
    write()
    assert load_registries([path]).methods.get("mine").origin == path


def test_an_abstract_helper_class_without_a_name_is_no_plugin(write: Write) -> None:
    helper = "\n\nfrom abc import ABC\nclass Base(Method, ABC):\n    pass\n"
    found = load_registries([write(PLUGIN.format(name="mine", cls="Mine") + helper)])
    assert "mine" in found.methods.plugins


# -- names ---------------------------------------------------------------------------------------


def test_unknown_names_list_the_known_and_suggest_the_nearest() -> None:
    registries = load_registries()
    with pytest.raises(
        InputError, match=r"unknown method 'sad' \(known: .*ce.*\); did you mean 'sade'"
    ):
        registries.methods.get("sad")
    with pytest.raises(InputError, match=r"unknown strategy 'stabilty' .*did you mean 'stability'"):
        registries.strategies.get("stabilty")


# -- entry points --------------------------------------------------------------------------------


def test_entry_points_name_a_class_or_a_module(
    entries: Callable[[str, str, str], None], importable: Callable[[str, str], None]
) -> None:
    importable("third_party", PLUGIN.format(name="theirs", cls="Theirs"))
    entries("theirs", "third_party:Theirs", "ltbench.methods")
    importable("third_module", PLUGIN.format(name="other", cls="Other"))
    entries("other", "third_module", "ltbench.methods")
    methods = load_registries().methods
    assert methods.get("theirs").origin == "entry point third_party:Theirs"
    assert methods.get("theirs").digest
    assert "other" in methods.plugins


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("raise ImportError('no luck')", "bad_module:X", "ImportError: no luck"),
        ("X = 3", "bad_module:X", "TypeError: 3 is not a Method"),
        ("", "bad_module:X", "AttributeError"),
        (
            "from ltbench.method import Method as X",
            "bad_module:X",
            "TypeError: Method does not define loss",
        ),
    ],
)
def test_a_broken_entry_point_is_listed_and_stops_nobody_else(
    entries: Callable[[str, str, str], None],
    importable: Callable[[str, str], None],
    text: str,
    value: str,
    reason: str,
) -> None:
    importable("bad_module", text)
    entries("bad", value, "ltbench.methods")
    importable("good_module", PLUGIN.format(name="good", cls="Good"))
    entries("good", "good_module:Good", "ltbench.methods")
    methods = load_registries().methods
    assert methods.broken["bad"].reason.startswith(reason)
    assert methods.get("good").name == "good"
    assert methods.get("ce").name == "ce"
    with pytest.raises(InputError, match="method 'bad' is broken: "):
        methods.get("bad")


def test_a_clash_with_an_entry_point_picks_neither(
    entries: Callable[[str, str, str], None], importable: Callable[[str, str], None]
) -> None:
    importable("impostor", PLUGIN.format(name="ce", cls="Fake"))
    entries("ce", "impostor:Fake", "ltbench.methods")
    methods = load_registries().methods
    with pytest.raises(InputError, match="two methods are called 'ce'") as caught:
        methods.get("ce")
    assert "ltbench.methods.train.cross_entropy" in str(caught.value)
    assert "impostor:Fake" in str(caught.value)
    assert methods.get("sade").name == "sade"


def test_a_broken_own_file_is_listed_and_stops_nobody_else(
    entries: Callable[[str, str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ltbench.methods.train as folder

    (tmp_path / "half_done.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    methods = load_registries().methods
    assert methods.broken["half-done"].origin == "ltbench.methods.train.half_done"
    assert {"ce", "sade"} <= set(methods.plugins)
    with pytest.raises(InputError, match="method 'half-done' is broken: ModuleNotFoundError"):
        methods.get("half-done")


# -- protocols -----------------------------------------------------------------------------------


def test_protocols_of_the_own_folder() -> None:
    assert {"cifar100-lt", "cifar100-lt-short", "cifar10-lt", "digits-lt"} <= set(
        find_protocols().files
    )


def test_protocols_come_from_plugin_files_and_clashes_are_refused(tmp_path: Path) -> None:
    mine = tmp_path / "my_images.toml"
    mine.write_text("")
    assert find_protocols([str(mine)]).files["my-images"] == mine
    clash = tmp_path / "digits_lt.toml"
    clash.write_text("")
    with pytest.raises(InputError, match="two protocols are called 'digits-lt'") as caught:
        find_protocols([str(clash)])
    assert str(clash) in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        find_protocols([str(tmp_path / "gone.toml")])


def test_a_broken_protocol_entry_point_is_listed_and_stops_nobody_else(
    entries: Callable[[str, str, str], None],
) -> None:
    entries("lost", "no_such_module_anywhere", "ltbench.protocols")
    assert "digits-lt" in find_protocols().files
    (broken,) = find_protocols().broken
    assert broken.name == "lost"
    assert broken.reason.startswith("ModuleNotFoundError")


def test_two_packages_that_claim_one_protocol_stop_nobody_else(
    entries: Callable[[str, str, str], None], tmp_path: Path
) -> None:
    name = f"claims_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(f"path = {str(tmp_path / 'digits_lt.toml')!r}")
    sys.path.insert(0, str(tmp_path))
    try:
        entries("claim", f"{name}:path", "ltbench.protocols")
        found = find_protocols()
    finally:
        sys.path.remove(str(tmp_path))
    assert found.get("cifar100-lt").name == "cifar100_lt.toml"
    with pytest.raises(InputError, match="two protocols are called 'digits-lt'") as caught:
        found.get("digits-lt")
    assert f"{name}:path" in str(caught.value)


BACKBONE = """
from ltbench import Backbone


class Theirs(Backbone):
    name, title = "theirs", "Theirs"

    def build(self, classes, request, shared):
        raise NotImplementedError
"""


def test_an_entry_point_names_a_backbone(
    entries: Callable[[str, str, str], None], importable: Callable[[str, str], None]
) -> None:
    importable("third_backbone", BACKBONE)
    entries("theirs", "third_backbone:Theirs", "ltbench.backbones")
    importable("bad_backbone", "raise ImportError('no luck')")
    entries("bad", "bad_backbone", "ltbench.backbones")
    backbones = load_backbones()
    assert backbones.get("theirs").origin == "entry point third_backbone:Theirs"
    assert backbones.get("theirs").digest
    assert backbones.get("resnet50").digest == ""
    with pytest.raises(InputError, match="backbone 'bad' is broken: ImportError: no luck"):
        backbones.get("bad")


ENCODER = """
from ltbench.encoder import Encoder


class Theirs(Encoder):
    name, title = "theirs", "Theirs"

    def load(self, request):
        raise NotImplementedError
"""


def test_an_entry_point_or_a_file_names_an_encoder(
    entries: Callable[[str, str, str], None],
    importable: Callable[[str, str], None],
    tmp_path: Path,
) -> None:
    importable("third_encoder", ENCODER)
    entries("theirs", "third_encoder:Theirs", "ltbench.encoders")
    encoders = load_encoders()
    assert encoders.get("theirs").origin == "entry point third_encoder:Theirs"
    assert encoders.get("timm").digest == ""
    file = tmp_path / "mine.py"
    file.write_text(ENCODER.replace('"theirs"', '"mine"'))
    assert load_encoders([str(file)]).get("mine").origin == str(file)
    assert "mine" not in load_encoders().plugins


def test_encoders_are_listed_without_torch() -> None:
    code = "import sys; from ltbench.registry import load_encoders; load_encoders(); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_backbones_are_listed_without_torch() -> None:
    code = "import sys; from ltbench.registry import load_backbones; load_backbones(); "
    code += "sys.exit(any(m.startswith('torch') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SOURCE = """
from ltbench import DataSource


class Theirs(DataSource):
    name, title = "theirs", "Theirs"

    def find(self, folder, config, options):
        return None
"""


def test_an_entry_point_names_a_source(
    entries: Callable[[str, str, str], None], importable: Callable[[str, str], None]
) -> None:
    importable("third_source", SOURCE)
    entries("theirs", "third_source:Theirs", "ltbench.sources")
    importable("bad_source", "raise ImportError('no luck')")
    entries("bad", "bad_source", "ltbench.sources")
    sources = load_sources()
    assert sources.get("theirs").origin == "entry point third_source:Theirs"
    assert sources.get("theirs").digest
    assert sources.get("digits").digest == ""
    with pytest.raises(InputError, match="data source 'bad' is broken: ImportError: no luck"):
        sources.get("bad")
