"""The contract of a data source: where labelled images lie and how to read them, nothing about training.

:mod:`ltbench.data.found` makes what :meth:`DataSource.find` returns from arrays, files or one image
at a time.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from ltbench.data.findings import shown
from ltbench.errors import DataError
from ltbench.hyper import Hyper
from ltbench.method import NoHyper

if TYPE_CHECKING:
    from ltbench.data.raw import Found, Report

H = TypeVar("H", bound=Hyper)


class ImageRequest(typing.Protocol):
    """What a protocol's ``[data]`` asks of a source: C ``classes``, images of ``image_size`` pixels.

    ``path``: the user's folder or file as the protocol names it, empty where it names none. ``fit``: how
    images of other shapes become squares (``crop``, ``pad`` or ``squash``).
    """

    @property
    def source(self) -> str: ...
    @property
    def classes(self) -> int: ...
    @property
    def image_size(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def fit(self) -> str: ...


class DataSource(ABC, Generic[H]):
    """A place that labelled images come from; a third party's plugin or one that ltbench ships.

    It finds and reads; ltbench decodes, stores, checks and draws. What identifies a result are the
    name of the source and the images, labels and class names that were read (their SHA-256), never the
    code that read them: the digest of a plugin's code is recorded, and decides which stored copy of
    decoded images is its own.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str] = ""
    """Of the images, as their authors state it."""
    url: ClassVar[str] = ""
    """Where the images come from."""
    hyper_type: ClassVar[type[Hyper]] = NoHyper
    """``[data.options]`` of a protocol, typed as a method's settings are."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Packages that it imports, named where one is missing; import them in :meth:`find`."""
    needs_folder: ClassVar[bool] = False
    """Whether the user must name a folder, by ``--data-dir`` or ``data.path``."""
    fetch_when_asked: ClassVar[bool] = False
    """Whether `ltbench data prepare` alone downloads; otherwise `run` does, too, where it must."""
    expects: ClassVar[str] = ""
    """What a folder must hold, for messages: ``train/<class>/* and test/<class>/*``."""

    @abstractmethod
    def find(self, folder: Path | None, config: ImageRequest, options: H) -> Found | None:
        """Where the images are, without reading one; no network. None where they are not here.

        folder: what the user named, else the folder that :meth:`download` filled, else None.
        ``Found.read`` is called later, where the images are wanted and not stored yet. Raises
        :class:`ltbench.errors.DataError` where a folder was named and lacks what it must hold.
        """

    def download(self, folder: Path, report: Report | None) -> None:
        """Fetches the images into the empty ``folder``, which counts only once this returns.

        Called where :meth:`find` gave None and the user allows it. The default refuses with a remedy.
        """
        raise DataError(f"{self.title} is not here; {self.remedy()}")

    def check_folder(self, folder: Path | None, config: ImageRequest) -> None:
        """Raises :class:`DataError` where ``folder`` is not there, empty, or missing and needed."""
        if folder is None:
            if self.needs_folder:
                raise DataError(
                    f"source {self.name!r} needs its folder: give --data-dir or data.path"
                )
            return
        try:
            if not folder.is_dir():
                raise DataError(f"data folder {shown(folder)} does not exist{self.expected()}")
            if not any(folder.iterdir()):
                raise DataError(f"data folder {shown(folder)} is empty{self.expected()}")
        except OSError as error:
            raise DataError(f"data folder {folder} cannot be read: {error.strerror}") from error

    @classmethod
    def can_download(cls) -> bool:
        return cls.download is not DataSource.download

    @classmethod
    def looks_in(cls) -> str:
        """Where it looks for images, for ``ltbench list sources``."""
        if cls.can_download():
            return "your folder, else a download" if cls.expects else "a download"
        return "a folder of yours" if cls.needs_folder or cls.expects else "nothing to get"

    def remedy(self) -> str:
        """How a user gets the images where they are not here."""
        if self.can_download():
            return (
                f"`ltbench data prepare` downloads it from {self.url}, "
                "or name a folder that holds it with --data-dir"
            )
        where = f"get it from {self.url} and name" if self.url else "name"
        return f"{where} its folder with --data-dir{self.expected()}"

    def folder_remedy(self, folder: Path | None) -> str:
        """What to do where ``folder`` is wrong or missing."""
        return f"name a folder with --data-dir{self.expected()}"

    def expected(self) -> str:
        return f"; expected {self.expects}" if self.expects else ""
