"""The contract of an encoder: a frozen network that makes features (B, D) of images, trained elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image of S x S pixels before the encoder sees it.

    Sides become ``resize`` pixels (0: as they are) and the middle square of ``crop`` pixels is kept
    (0: all), both as uint8 with the values rounded; then ``((x / 255) - mean) / std``. antialias: whether
    the filter widens where an image becomes smaller, as PIL's does and torch's does not by itself.
    """

    resize: int = 0
    crop: int = 0
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bicubic"
    antialias: bool = True
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class EncoderRequest:
    """Which encoder of a family is asked for, and from which weights.

    member: what stands behind the colon, ``ViT-B-16`` of ``open_clip:ViT-B-16``, else empty. weights: a
    local file, of SHA-256 ``sha256``, that was there when the request was made; None where none was given.
    revision: of a hub's repository, else empty. output: one of :attr:`Encoder.outputs`.
    """

    member: str = ""
    weights: Path | None = None
    sha256: str = ""
    revision: str = ""
    output: str = "features"


@dataclass(frozen=True)
class LoadedEncoder:
    """network: ``(B, 3, S, S)`` float32, preprocessed, to ``(B, D)``; or ``(B, E, D)`` where each of E
    experts has features of its own. It is used in evaluation mode and without gradients.

    weights: what tells these weights from others. Leave it empty: ltbench fills in the digest of the file
    that was asked for, else of the network's tensors.
    library: name and version of what the network's code comes from. text: from C prompts to ``(C, D)``
    features of unit length, of encoders that were trained with texts.
    """

    network: nn.Module
    preprocessing: Preprocessing
    weights: str = ""
    library: tuple[str, str] = ("", "")
    text: Callable[[Sequence[str]], Tensor] | None = field(default=None, compare=False)


class Encoder(ABC):
    """A frozen network or a family of them; a file in ``ltbench/encoders/shipped`` or someone's plugin.

    ltbench reads the images, preprocesses them as :class:`LoadedEncoder` says, runs the network and
    stores what it gives.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str] = ""
    """Of the weights, or of the code where each file of weights has its own."""
    url: ClassVar[str] = ""
    """Where the weights come from."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Packages that it imports, named where one is missing; import them in :meth:`load`."""
    extra: ClassVar[str] = ""
    """Of ltbench, that brings :attr:`requires`: ``timm`` for ``pip install 'ltbench[timm]'``."""
    family: ClassVar[bool] = False
    """Whether a member's name follows a colon: ``timm:vit_base_patch16_224``."""
    takes: ClassVar[tuple[Literal["weights", "revision"], ...]] = ()
    """Where weights may come from, exactly one of which a user must give: a file, a hub's revision. Empty:
    it makes them itself."""
    outputs: ClassVar[tuple[str, ...]] = ("features",)
    """Where in the network features may be taken, for ``--output``; the first is the usual one."""

    @abstractmethod
    def load(self, request: EncoderRequest) -> LoadedEncoder:
        """The network with its weights, on the CPU.

        Nothing is unpickled: :func:`ltbench.encoders.weights.read_weights` reads a file. Import torch and
        the like here, not at the head of the file. Raises :class:`ltbench.errors.InputError`, one line,
        for a member that there is not and for weights that do not fit.
        """

    def hub(self, member: str) -> tuple[str, str]:
        """Repository and file (``.safetensors``) of ``member``, of families that take a revision.

        ltbench downloads it at the revision that the user names and gives it to :meth:`load` as a local
        file. Raises :class:`ltbench.errors.InputError`, one line, where there is none.
        """
        raise NotImplementedError(f"{self.name} takes no revision")
