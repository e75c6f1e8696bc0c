"""Which image files lie in which class folder, and what else lies there."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from shlex import quote
from typing import TypeAlias

from ltbench.data.findings import Findings, shown

Split: TypeAlias = dict[str, list[Path]]
"""Class name (NFC) to its files, sorted by name."""
SPLITS = ("train", "test")
VALIDATION = ("val", "valid", "validation", "dev")
VALIDATION_USE = 'validation images, used by train.holdout = "val" alone'
# What systems, archives and notebooks leave in folders of images.
_LITTER = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
        *("__macosx", "icon\r", "__pycache__", "@eadir", "lost+found"),
    }
)


def scan(root: Path, split: str, findings: Findings) -> Split:
    """The class folders of ``root / split``; what is wrong with them goes into ``findings``."""
    folder = root / split
    if not folder.is_dir():
        findings.error(
            "missing splits",
            f"{shown(root)} has no folder {split!r}; expected train/<class>/* and test/<class>/*"
            f"{_validation(root)}{_and(split_remedy(root))}",
        )
        return {}
    before = sum(map(len, findings.errors.values()))
    found: Split = {}
    spelled: dict[str, Path] = {}
    for path in _listed(folder, findings):
        if not path.is_dir():
            _outside(path, findings)
            continue
        images = _images(path, findings)
        name = unicodedata.normalize("NFC", path.name)
        if not _is_text(name):
            findings.error(
                "class folders whose name is not UTF-8",
                f"{shown(path)}: the name of a class must be UTF-8; rename the folder",
            )
        elif name in found:
            findings.error(
                "class folders with one name in two spellings",
                f"{shown(folder)} has two folders {shown(name)!r}, "
                f"{_spelling(spelled[name])} and {_spelling(path)}: one class; put them together",
            )
            found[name] += images
        else:
            found[name], spelled[name] = images, path
    if not any(found.values()) and sum(map(len, findings.errors.values())) == before:
        findings.error(
            "splits without images", f"{shown(folder)} has no images; expected {split}/<class>/*"
        )
    return found


def check_splits(root: Path, findings: Findings) -> bool:
    """Whether there is a split at all; where there is none that is told once, not of each."""
    if any((root / split).is_dir() for split in SPLITS):
        note_beside(root, findings)
        return True
    findings.error(
        "missing splits",
        f"{shown(root)} has no folder 'train' and no folder 'test'; expected train/<class>/* and "
        f"test/<class>/*{_and(split_remedy(root))}",
    )
    return False


def split_remedy(root: Path) -> str:
    """How class folders that have no test set get one; empty where that is not what is missing."""
    train = root / "train"
    if (root / "test").is_dir() or not root.is_dir():
        return ""
    folder = train if train.is_dir() else root
    if not any(path.is_dir() for path in _listed(folder, Findings())):
        return ""
    return (
        f"`ltbench data split {quote(shown(folder))} -o mine.csv` draws a test set "
        'from class folders (then source = "table")'
    )


def _and(text: str) -> str:
    return f"; {text}" if text else ""


def _validation(root: Path) -> str:
    found = [name for name in VALIDATION if (root / name).is_dir()]
    if not found:
        return ""
    return f"; its folder {found[0]!r} is not used: rename it to 'test' if that is your test set"


def validation_folder(root: Path) -> Path | None:
    """The folder of validation images beside ``train`` and ``test``; None where none has class folders."""
    for name in VALIDATION:
        folder = root / name
        inside = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
        if any(any(path.iterdir()) for path in inside if not is_litter(path)):
            return folder
    return None


def note_beside(root: Path, findings: Findings) -> None:
    """Tells what lies beside ``train`` and ``test`` and is not read."""
    for path in _listed(root, findings):
        if path.name not in SPLITS and path.is_dir() and path != validation_folder(root):
            findings.note(f"folders beside {' and '.join(SPLITS)}, not used", shown(path))


def _spelling(path: Path) -> str:
    r"""Characters that look alike told apart: ``'cafe\u0301'``."""
    return ascii(path.name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a byte that is no UTF-8 stands there as half a character
        return False
    return True


def _outside(path: Path, findings: Findings) -> None:
    if path.is_symlink() and not path.exists():
        findings.error("links that lead nowhere", f"{shown(path)} cannot be read: it leads nowhere")
    else:
        findings.note("files beside the class folders, not read", shown(path))


def _images(folder: Path, findings: Findings) -> list[Path]:
    images = []
    for path in _listed(folder, findings):
        if path.is_dir():
            inside = sum(below.is_file() for below in path.rglob("*"))
            findings.error(
                "folders inside a class folder",
                f"{shown(path)} is a folder inside a class folder (files in it: {inside}); "
                "only images belong there",
            )
        elif path.is_symlink() and not path.exists():
            findings.error(
                "links that lead nowhere",
                f"{shown(path)} cannot be read: the link leads nowhere",
            )
        elif not path.is_file():
            findings.error(
                "things that are no files", f"{shown(path)} is no file; only images belong there"
            )
        elif path.stat().st_size == 0:
            findings.error("empty files", f"{shown(path)} is not a readable image (an empty file)")
        else:
            images.append(path)
    return images


def _listed(folder: Path, findings: Findings) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        findings.error(
            "folders that cannot be read", f"{shown(folder)} cannot be read: {error.strerror}"
        )
        return []
    for path in filter(is_litter, found):
        findings.note("hidden or left by other programs, not read", shown(path))
    return [path for path in found if not is_litter(path)]


def is_litter(path: Path) -> bool:
    """Hidden, or a name that no one gives to images of theirs: ``__MACOSX``, ``Thumbs.db``."""
    return path.name.startswith(".") or path.name.lower() in _LITTER
