"""A source in a file of its own: found, typed, read, kept and recorded like those that are built in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ltbench.data.cache import entry_path, load
from ltbench.data.decode import square
from ltbench.data.found import from_arrays, from_files
from ltbench.data.sources import describe, open_data
from ltbench.errors import DataError, InputError
from ltbench.execute.job import build_trial
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import DataConfig
from ltbench.registry import load_registries, load_sources

FILES = '''
from dataclasses import dataclass
from ltbench import DataSource, Hyper
from ltbench.data.decode import square
from ltbench.data.found import from_arrays, from_files
from ltbench.settings import setting


@dataclass(frozen=True)
class Options(Hyper):
    skip: int = setting(0, low=0, help="files left out")
    upright: bool = setting(False, help="obey EXIF")


class Flags(DataSource[Options]):
    """Flags in a folder."""

    name, title, licence, url = "flags", "Flags", "CC0", "https://example.org/flags"
    hyper_type = Options
    expects = "0-*.png and 1-*.png"

    def find(self, folder, config, options):
        if folder is None:
            return None
        files = [(path, int(path.name[0])) for path in sorted(folder.iterdir())][options.skip :]
        names, upright = ("no", "yes"), options.upright
        return from_files(files, files, names, config.image_size, origin="flags", upright=upright)
'''
PROTOCOL = """
extends = "digits-lt"
name = "mine"
version = "1.0"
title = "Mine"
[data]
source = "{source}"
classes = 2
image_size = 4
{rest}
"""
CONFIG = DataConfig("flags", 2, 4)


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "flags.py"
    path.write_text(FILES)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images, of which the last lies on its side and says so."""
    made = tmp_path / "flags"
    made.mkdir()
    for i, name in enumerate(("0-a", "0-b", "1-a")):
        Image.new("RGB", (4, 4), (60 * i, 0, 0)).save(made / f"{name}.png")
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(made / "1-b.png", exif=exif)
    return made


def write_protocol(tmp_path: Path, rest: str = "", source: str = "flags") -> str:
    path = tmp_path / "mine.toml"
    path.write_text(PROTOCOL.format(source=source, rest=rest))
    return str(path)


def test_a_source_of_a_file_is_opened_stored_and_named(plugin: str, folder: Path) -> None:
    splits = open_data(CONFIG, folder, plugins=[plugin])
    assert splits.train.labels.tolist() == [0, 0, 1, 1]
    assert splits.code == load_sources([plugin]).get("flags").digest != ""
    assert describe(CONFIG, folder, [plugin]).decoded is not None


def test_images_that_are_not_here_are_told_with_where_to_get_them(plugin: str) -> None:
    with pytest.raises(
        DataError, match=r"Flags is not here; get it from https://example.org/flags"
    ):
        open_data(CONFIG, plugins=[plugin])
    assert not describe(CONFIG, plugins=[plugin]).ready


def test_an_unknown_source_suggests_the_nearest(plugin: str) -> None:
    with pytest.raises(InputError, match=r"unknown data source 'flag' .* did you mean 'flags'\?"):
        open_data(DataConfig("flag", 2, 4), plugins=[plugin])


def test_the_stored_images_belong_to_the_code_and_the_options(plugin: str, folder: Path) -> None:
    def entry(config: DataConfig) -> Path | None:
        open_data(config, folder, plugins=[plugin])
        return describe(config, folder, [plugin]).decoded

    first = entry(CONFIG)
    assert entry(CONFIG) == first
    assert entry(DataConfig("flags", 2, 4, options={"skip": 1})) != first
    assert entry(DataConfig("flags", 2, 8)) != first
    text = Path(plugin).read_text()
    Path(plugin).write_text(text.replace('("no", "yes")', '("yes", "no")'))
    assert entry(CONFIG) != first
    assert open_data(CONFIG, folder, plugins=[plugin]).train.class_names == ("yes", "no")


def test_exif_is_obeyed_for_images_of_ones_own_alone(plugin: str, folder: Path) -> None:
    """A published set is read as the code behind its numbers read it."""
    as_stored = np.asarray(Image.open(folder / "1-b.png").convert("RGB")).transpose(2, 0, 1)
    turned = np.rot90(as_stored, k=-1, axes=(1, 2))

    def last(config: DataConfig, place: Path) -> np.ndarray:
        return open_data(config, place, plugins=[plugin]).train.read([3])[0]

    np.testing.assert_array_equal(last(CONFIG, folder), as_stored)
    obeyed = DataConfig("flags", 2, 4, options={"upright": True})
    np.testing.assert_array_equal(last(obeyed, folder), turned)

    root = folder.parent / "own"
    for path in folder.iterdir():
        for split in ("train", "test"):
            target = root / split / path.name[0] / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    np.testing.assert_array_equal(last(DataConfig("image-folder", 2, 4), root), turned)
    rows = [
        f"{split}/{path.name[0]}/{path.name},{path.name[0]},{split}"
        for split in ("train", "test")
        for path in folder.iterdir()
    ]
    (root / "t.csv").write_text("\n".join(["file,label,split", *rows]))
    np.testing.assert_array_equal(last(DataConfig("table", 2, 4), root / "t.csv"), turned)


def test_what_a_source_does_wrong_is_one_line(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "wrong.py"

    def message(old: str, new: str) -> str:
        assert old in FILES
        path.write_text(FILES.replace(old, new))
        with pytest.raises(DataError) as caught:
            open_data(CONFIG, folder, plugins=[str(path)])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    failing = message("names, upright", 'raise KeyError("x")\n        names, upright')
    assert failing == "source 'flags' failed to find its images: KeyError: 'x'"
    lacking = message(
        "        if folder is None:", "        import no_such_module\n        if folder is None:"
    )
    assert "source 'flags' cannot import what it needs: No module named 'no_such_module'" in lacking
    assert "two classes are called 'no'" in message('("no", "yes")', '("no", "no")')


def test_a_missing_package_is_named(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "lacks.py"
    text = FILES.replace("    hyper_type", '    requires = ("flaglib>=2",)\n    hyper_type')
    path.write_text(text.replace("        if folder", "        import flaglib\n        if folder"))
    with pytest.raises(DataError, match=r"source 'flags' needs flaglib>=2, which cannot be import"):
        open_data(CONFIG, folder, plugins=[str(path)])


def test_a_download_counts_only_when_it_is_complete(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "far.py"
    getting = f"""
    def download(self, folder, report):
        import shutil
        for one in sorted(__import__("pathlib").Path({str(folder)!r}).iterdir()):
            shutil.copy(one, folder)
            FAULT
"""
    path.write_text(FILES + getting.replace("FAULT", "raise RuntimeError('the line broke')"))
    with pytest.raises(DataError, match=r"source 'flags' failed to download: .*the line broke"):
        open_data(CONFIG, plugins=[str(path)])
    path.write_text(FILES + getting.replace("FAULT", "pass"))
    with pytest.raises(DataError, match="Flags is not here; `ltbench data prepare` downloads it"):
        open_data(CONFIG, download=False, plugins=[str(path)])
    assert len(open_data(CONFIG, plugins=[str(path)]).train) == 4
    assert len(open_data(CONFIG, download=False, plugins=[str(path)]).train) == 4


def test_options_are_typed_and_named_where_they_are_wrong(tmp_path: Path, plugin: str) -> None:
    def load(rest: str, *sets: str, plugins: tuple[str, ...] = (plugin,)) -> DataConfig:
        return load_protocol_config(write_protocol(tmp_path, rest), sets, plugins=plugins).data

    assert load("options = {skip = 2}").options == {"skip": 2}
    assert load("", "data.options.skip=2") == load("options = {skip = 2}")
    for rest, message in (
        ("options = {skipp = 2}", r"mine\.data\.options has no 'skipp' .*did you mean 'skip'\?"),
        ('options = {skip = "two"}', r"data\.options\.skip = 'two' must be a whole number"),
        ("options = {skip = -1}", r"data\.options: skip = -1 must be at least 0"),
        ("options = 3", r"data\.options must be a table"),
    ):
        with pytest.raises(InputError, match=message):
            load(rest)
    with pytest.raises(InputError, match="unknown data source 'flags'"):
        load("options = {skip = 2}", plugins=())
    with pytest.raises(InputError, match=r"data\.options has no 'skip' \(it has: none\)"):
        load_protocol_config(write_protocol(tmp_path, "options = {skip = 1}", "digits"))


def test_options_enter_the_identity_only_where_they_say_something(
    tmp_path: Path, plugin: str
) -> None:
    registries = load_registries([plugin])
    method = registries.methods.get("ce")

    def identity(rest: str) -> dict[str, object]:
        protocol = load_protocol_config(write_protocol(tmp_path, rest), plugins=[plugin])
        trial = build_trial(protocol, method, method.cls.hyper_type(), 0, "float32", None)
        found: dict[str, object] = json.loads(json.dumps(trial.identity()["data"]))
        return found

    assert "options" not in identity("")
    assert identity("options = {skip = 0}") == identity("")  # the default, stated
    assert identity("options = {skip = 2}")["options"] == {"skip": 2}


def test_a_variant_names_an_option(tmp_path: Path, plugin: str) -> None:
    path = write_protocol(tmp_path)
    protocol = load_protocol_config(path, ["data.options.skip=2"], plugins=[plugin])
    assert protocol.variant == "data.options.skip=2"


def test_folder_is_another_name_of_image_folder(tmp_path: Path) -> None:
    """Resolved before anything is hashed or compared."""
    assert DataConfig("folder", 2, 4) == DataConfig("image-folder", 2, 4)
    one = load_protocol_config(write_protocol(tmp_path, source="folder")).data
    assert one == load_protocol_config(write_protocol(tmp_path, source="image-folder")).data


def test_methods_and_sources_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "both.py"
    method = """
from ltbench.methods.train.cross_entropy import CrossEntropy
class Mine(CrossEntropy):
    name, title = "mine", "Mine"
"""
    path.write_text(FILES + method)
    found = load_registries([str(path)])
    assert {"mine"} <= set(found.methods.plugins)
    assert found.sources.get("flags").cls is load_sources([str(path)]).get("flags").cls


def test_a_source_alone_imports_no_torch(plugin: str) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from ltbench.registry import load_sources; "
        f"load_sources([{plugin!r}]).get('flags'); sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_class_order_size_and_exif_rule_decide_which_stored_images_are_meant(folder: Path) -> None:
    files = [(path, int(path.name[0])) for path in sorted(folder.iterdir())]

    def entry(names: tuple[str, ...] = ("no", "yes"), size: int = 4, upright: bool = False) -> Path:
        return entry_path(from_files(files, files, names, size, origin="flags", upright=upright))

    entries = [entry(), entry(("yes", "no")), entry(size=8), entry(upright=True)]
    assert len(set(entries)) == 4
    assert entry() == entries[0]


def test_arrays_of_any_size_become_squares() -> None:
    """Grey and coloured ones alike, as the same images from files do; without a size they stay."""
    grey = np.random.RandomState(0).randint(0, 256, (4, 9, 12)).astype(np.uint8)
    colour = np.repeat(grey[:, None], 3, axis=1)
    labels = np.array([0, 1, 0, 1])

    def loaded(images: np.ndarray, fit: str) -> np.ndarray:
        arrays = (images, labels), (images[:2], labels[:2])
        found = from_arrays(lambda: arrays, ["a", "b"], image_size=6, fit=fit)
        return load(found).train.read(np.arange(4))

    for fit in ("crop", "pad", "squash"):
        pictures = [square(Image.fromarray(one).convert("RGB"), 6, fit) for one in grey]
        expected = np.stack([np.asarray(one).transpose(2, 0, 1) for one in pictures])
        np.testing.assert_array_equal(loaded(grey, fit), expected)
        np.testing.assert_array_equal(loaded(colour, fit), expected)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 8, 8)), [0, 1], r"must be uint8 \(N, 3, H, W\) or \(N, H, W\), not float64"),
        (np.zeros((2, 1, 8, 8), np.uint8), [0, 1], r"not uint8 \(2, 1, 8, 8\)"),
        (np.zeros((2, 8, 8), np.uint8), [0], r"2 need as many labels, not an array \(1,\)"),
    ],
)
def test_arrays_of_another_kind_are_one_line(
    images: np.ndarray, labels: list[int], message: str
) -> None:
    found = from_arrays(lambda: ((images, labels), (images, labels)), ["a", "b"], image_size=6)
    with pytest.raises(DataError, match=message):
        load(found)


def test_a_family_of_sources_shares_a_prefix(tmp_path: Path, plugin: str, folder: Path) -> None:
    Path(plugin).write_text(FILES.replace('"flags", "Flags"', '"flags:Two", "Flags"'))
    path = write_protocol(tmp_path, f'path = "{folder}"', source="flags:Two")
    protocol = load_protocol_config(path, plugins=[plugin])
    assert len(open_data(protocol.data, plugins=[plugin]).train) == 4
