"""What every encoder must keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ltbench.contract.unmet import Property, Unmet, require
from ltbench.encoder import Encoder, EncoderRequest, LoadedEncoder, Preprocessing
from ltbench.names import check_name
from ltbench.registry import Plugin

BATCH, IMAGE_SIZE = 4, 32
_ROUNDING = 1e-3
"""Of float32 features, relative to their largest."""


@dataclass(frozen=True)
class EncoderCase:
    plugin: Plugin[Encoder]

    def loaded(self) -> Iterator[tuple[str, LoadedEncoder]]:
        """At each of its points. Raises :class:`Unmet` where it is not what it must be."""
        for output in self.plugin.cls.outputs:
            found = self.plugin.cls().load(EncoderRequest(output=output))
            require(
                isinstance(found, LoadedEncoder),
                f"load() returned {type(found).__name__}, not a LoadedEncoder",
            )
            require(
                isinstance(found.network, nn.Module)
                and isinstance(found.preprocessing, Preprocessing),
                "network must be a torch.nn.Module and preprocessing a Preprocessing",
            )
            yield output, found


def _features(loaded: LoadedEncoder, images: Tensor | None = None) -> Tensor:
    made = loaded.preprocessing
    size = made.crop or made.resize or IMAGE_SIZE
    rng = torch.Generator().manual_seed(1)
    given = torch.randn(BATCH, 3, size, size, generator=rng) if images is None else images
    with torch.no_grad():
        found = loaded.network.eval()(given)
    if not isinstance(found, Tensor):
        raise Unmet(f"the network gives a {type(found).__name__}, not a tensor")
    return found


def name_and_title(case: EncoderCase) -> None:
    """Name and title are given; where weights come from and the points of output are known words."""
    cls = case.plugin.cls
    check_name(cls.name, "encoder name")
    require(cls.title.strip(), "title is empty")
    takes = isinstance(cls.takes, tuple) and set(cls.takes) <= {"weights", "revision"}
    require(takes, f"takes = {cls.takes!r} must be a tuple of 'weights' and 'revision', or empty")
    outputs = isinstance(cls.outputs, tuple) and all(
        isinstance(output, str) and output for output in cls.outputs
    )
    require(
        outputs and cls.outputs and len(set(cls.outputs)) == len(cls.outputs),
        f"outputs = {cls.outputs!r} must be a tuple of different names",
    )


def docstring(case: EncoderCase) -> None:
    """A docstring says which network it is and where its features are taken."""
    require((case.plugin.cls.__doc__ or "").strip(), "no docstring")


def features_have_their_shape(case: EncoderCase) -> None:
    """A batch of images gives (B, D) finite features, or (B, E, D), at every point."""
    for output, loaded in case.loaded():
        found = _features(loaded)
        shape = tuple(found.shape)
        require(
            len(shape) in (2, 3) and shape[0] == BATCH and found.is_floating_point(),
            f"features are {found.dtype} {shape} at {output!r}; expected floats ({BATCH}, D)",
        )
        require(bool(found.isfinite().all()), f"features at {output!r} are not finite")


def an_image_is_encoded_alone(case: EncoderCase) -> None:
    """In evaluation mode the features of an image do not depend on the others of its batch."""
    for _, loaded in case.loaded():
        size = loaded.preprocessing.crop or loaded.preprocessing.resize or IMAGE_SIZE
        images = torch.randn(BATCH, 3, size, size, generator=torch.Generator().manual_seed(1))
        whole, alone = _features(loaded, images), _features(loaded, images[:1])
        difference = (whole[:1] - alone).abs().max().item()
        require(
            difference <= _ROUNDING * whole.abs().max().item(),
            f"the features of an image change with its batch (by {difference:.2g})",
        )


def two_loads_are_equal(case: EncoderCase) -> None:
    """Loaded twice it gives the same features, whatever was drawn before."""
    for (output, first), (_, second) in zip(case.loaded(), case.loaded(), strict=True):
        torch.rand(3)
        require(
            torch.equal(_features(first), _features(second)),
            f"features at {output!r} differ between two loads; seed what draws the weights",
        )


ENCODER_CARD: tuple[Property[EncoderCase], ...] = (
    Property(name_and_title),
    Property(docstring, advice=True),
)
ENCODER_PROPERTIES: tuple[Property[EncoderCase], ...] = (
    Property(features_have_their_shape),
    Property(an_image_is_encoded_alone),
    Property(two_loads_are_equal),
)
"""Of encoders that need nothing of the user's: no weights, no name of a member."""


def properties_of(case: EncoderCase) -> tuple[Property[EncoderCase], ...]:
    alone = not case.plugin.cls.takes and not case.plugin.cls.family
    return (*ENCODER_CARD, *ENCODER_PROPERTIES) if alone else ENCODER_CARD
