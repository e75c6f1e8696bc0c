"""Wheel, sdist and editable install, each in an environment of its own; nothing is downloaded.

The environments see the packages of the running one through a ``.pth`` file, so torch is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("ltbench", "methods", "protocols")
FILES = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
OFFLINE = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "-q"]


def call(words: list[str | Path], folder: Path, code: int = 0, **env: str) -> str:
    """Output of a command that neither sees this checkout nor the user's cache."""
    hidden = ("PYTHONPATH", "LTBENCH_CACHE", "PIP_REQUIRE_VIRTUALENV", "VIRTUAL_ENV")
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    kept |= {"LTBENCH_CACHE": str(folder / "cache"), "NO_COLOR": "1", "COLUMNS": "250"} | env
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=kept, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


class Environment:
    """A virtual environment that borrows the packages of the running one."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.bin = folder / scripts
        self.python = self.bin / ("python.exe" if os.name == "nt" else "python")
        paths = {"base": str(folder), "platbase": str(folder)}
        self.packages = Path(sysconfig.get_path("purelib", "venv", paths))
        borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (self.packages / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
        self.folder = folder.parent

    def install(self, *words: str | Path) -> None:
        pip = [self.python, "-m", "pip", "install", *OFFLINE, "--ignore-installed"]
        call([*pip, *words], self.folder)

    def ltbench(self, *words: str | Path, code: int = 0) -> str:
        return call([self.bin / "ltbench", *words], self.folder, code)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("build") / "checkout"
    copy.mkdir()
    rubbish = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=rubbish)
    for name in FILES:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(checkout: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it, not from the checkout."""
    call([sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"], checkout)
    (sdist,) = (checkout / "dist").glob("ltbench-*.tar.gz")
    (wheel,) = (checkout / "dist").glob("ltbench-*-py3-none-any.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("installed") / "venv")
    environment.install(built[1])
    return environment


def package_files() -> set[str]:
    """What an installed ltbench is made of, by its path inside site-packages."""
    own = {path for path in (ROOT / "ltbench").rglob("*.py") if not path.is_symlink()}
    found = {path.relative_to(ROOT).as_posix() for path in own}
    found = {
        name for name in found if not name.startswith(("ltbench/methods", "ltbench/protocols"))
    }
    for top, pattern in (("methods", "*.py"), ("protocols", "*.py"), ("protocols", "*.toml")):
        found |= {f"ltbench/{p.relative_to(ROOT).as_posix()}" for p in (ROOT / top).rglob(pattern)}
    for pattern in ("*.toml", "*.jinja", "*.css", "*.js"):  # the page and the quoted figures
        report = (ROOT / "ltbench" / "report").rglob(pattern)
        found |= {path.relative_to(ROOT).as_posix() for path in report}
    return found | {"ltbench/py.typed", "ltbench/plugins/shipped_code.json"}


def test_wheel_holds_everything_once(built: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(built[1]).namelist()
    assert len(names) == len(set(names))
    inside = {name for name in names if ".dist-info/" not in name}
    assert inside == package_files()
    assert "ltbench/methods/train/sade.py" in inside
    assert "ltbench/methods/adapt/stability.py" in inside
    assert "ltbench/protocols/digits_lt.toml" in inside
    info = {name.partition(".dist-info/")[2] for name in names if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt"} <= info
    if (ROOT / "LICENSE").exists():
        assert "licenses/LICENSE" in info


def test_sdist_holds_what_building_needs(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert "pyproject.toml" in names
    assert {"methods/train/sade.py", "protocols/digits_lt.toml", "ltbench/py.typed"} <= names
    if (ROOT / "LICENSE").exists():
        assert "LICENSE" in names
    assert not {name for name in names if "__pycache__" in name or name.startswith("results")}


def test_installed_from_the_wheel(installed: Environment) -> None:
    where = call(
        [installed.python, "-c", "import ltbench; print(ltbench.__file__)"], installed.folder
    )
    assert Path(where.strip()).is_relative_to(installed.packages)
    listed = installed.ltbench("list", "protocols")
    assert str(installed.packages / "ltbench" / "protocols" / "digits_lt.toml") in listed
    assert "cifar100-lt-short" in listed
    assert "broken" not in installed.ltbench("list", "methods")
    show = "import ltbench.methods.train.sade as m; print(m.Sade.__module__)"
    shown = call([installed.python, "-c", show], installed.folder)
    assert shown.strip() == "ltbench.methods.train.sade"


def test_editable_install(checkout: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install("-e", checkout)
    listed = environment.ltbench("list", "protocols")
    assert str(checkout) in listed
    assert "digits-lt" in listed
    new = checkout / "methods" / "train" / "brand_new.py"
    new.write_text(
        (checkout / "methods" / "train" / "cross_entropy.py")
        .read_text()
        .replace('"ce"', '"brand-new"')
        .replace("CrossEntropy", "BrandNew")
    )
    try:
        listed = environment.ltbench("list", "methods")
        assert "brand-new" in listed  # one file, no list to edit
        assert "sade" in listed
        assert "broken" not in listed
    finally:
        new.unlink()


# -- a third party's package ----------------------------------------------------------------------

PYPROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{package}"
version = "0.3"
dependencies = ["ltbench"]

[project.entry-points."ltbench.methods"]
{method} = "{package}:Method_"

[project.entry-points."ltbench.strategies"]
{package}-flat = "{package}:Flat"

[project.entry-points."ltbench.protocols"]
{package} = "{package}.protocols"

[tool.setuptools]
packages = ["{package}", "{package}.protocols"]
package-data = {{ "{package}.protocols" = ["*.toml"] }}
"""

CODE = """
import torch
from torch.nn import functional as F
from ltbench import Method, Strategy
from ltbench.strategy import Adapted


class Method_(Method):
    name, title = "{method}", "a third party's method"

    def loss(self, logits, targets, *, progress, rng=None):
        return F.cross_entropy(logits[:, 0], targets, label_smoothing=0.1)


class Flat(Strategy):
    name, title = "{package}-flat", "a third party's strategy"

    def adapt(self, test, source, rng):
        return Adapted(logits=source.method.predict(test.logits).softmax(1).log())
"""

TINY = """
extends = "digits-lt"
name = "{package}-digits"
title = "A third party's protocol"

[recipe]
epochs = 1

[test]
ratios = [2]
draws = 1
"""


def write_package(folder: Path, package: str, method: str) -> Path:
    place = folder / f"source-{package}"
    (place / package / "protocols").mkdir(parents=True)
    values = {"package": package, "method": method}
    (place / "pyproject.toml").write_text(PYPROJECT.format(**values))
    (place / package / "__init__.py").write_text(CODE.format(**values))
    (place / package / "protocols" / "__init__.py").touch()
    toml = place / package / "protocols" / f"{package}_digits.toml"
    toml.write_text(TINY.format(**values))
    return place


def test_a_third_party_package(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Found by `list`, trained and evaluated; one that takes a name is refused with both origins."""
    packages = (
        write_package(tmp_path, "thirdparty", "smoothed"),
        write_package(tmp_path, "taker", "ride"),
    )
    installed = Environment(tmp_path / "venv")  # other tests look at one without them
    installed.install(built[1], *packages)
    code = "for kind in ('methods', 'strategies', 'protocols'): cli.main(['list', kind], **alone)"
    script = f"from ltbench.cli import cli; alone = dict(standalone_mode=False)\n{code}"
    listed = call([installed.python, "-c", script], installed.folder)
    assert "smoothed" in listed
    assert "thirdparty 0.3 (thirdparty:Method_)" in listed
    clash = (
        "two methods are called 'ride': ltbench.methods.train.ride and taker 0.3 (taker:Method_)"
    )
    assert clash in " ".join(listed.split())
    assert "thirdparty-flat" in listed
    assert "thirdparty-digits" in listed

    results = tmp_path / "results"
    asked = ["--protocol", "thirdparty-digits", "--results", results]
    refused = installed.ltbench("run", "--methods", "ride", *asked, code=2)
    assert refused.strip() == f"Error: {clash}"
    installed.ltbench("run", "--methods", "smoothed,smoothed+thirdparty-flat", *asked)
    (folder,) = (results / "thirdparty-digits" / "smoothed").iterdir()
    rows = sorted(path.name.rpartition("-")[0] for path in (folder / "evaluations").glob("*.json"))
    assert rows == ["smoothed+none", "smoothed+thirdparty-flat"]
