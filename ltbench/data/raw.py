"""What a source hands over before its images are stored: where they lie and how to stream them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ltbench.data.dataset import FileNames, Images, Labels, Splits
from ltbench.data.findings import Findings

Report: TypeAlias = Callable[[str, int, int], None]
"""Progress: stage (``decoding images``, ``downloading <file>``), done, total (0: unknown).

Downloads count bytes, decoding counts images."""


@dataclass(frozen=True)
class Stream:
    """``count`` images in batches of images uint8 (B, 3, H, W) and labels int64 (B,)."""

    count: int
    batches: Callable[[], Iterator[tuple[Images, Labels]]]


@dataclass(frozen=True)
class Raw:
    """Undecoded training and test images of ``image_size`` pixels, one name per label value."""

    class_names: tuple[str, ...]
    image_size: int
    train: Stream
    test: Stream
    holdout: Stream | None = None
    """Validation images, where the source comes with some."""

    @property
    def splits(self) -> dict[str, Stream]:
        """By name, in the order in which they are decoded."""
        found = {"train": self.train, "test": self.test}
        return found if self.holdout is None else {**found, "holdout": self.holdout}

    @property
    def count(self) -> int:
        return sum(stream.count for stream in self.splits.values())


@dataclass(frozen=True)
class Found:
    """A data set located on disk, unread so far.

    ``files`` are all files that its images and names depend on; name, size and modification time
    of each, together with ``options``, identify what :meth:`read` would give.
    """

    kind: str
    origin: str
    files: tuple[Path, ...]
    read: Callable[[], Raw]
    options: Mapping[str, int | str] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    """What is wrong and what was done; reading the images adds to it."""
    names: FileNames | None = None
    """Where each image is a file of its own."""
    stored: bool = True
    """Whether decoded images are kept in the cache. False where reading takes no time, or where no
    file says when they change."""
    counts: tuple[int, int] | None = None
    """Training and test images that there must be, where the set is known."""
    open: Callable[[str, int], Images] | None = None
    """Image ``(3, H, W)`` at a place of ``"train"`` or ``"test"``, where any one can be had alone;
    the same as the streams give there."""
    opened: Callable[[bool], Splits] | None = None
    """Of images that are never stored: the sets, opened; True: look at every file anew."""
