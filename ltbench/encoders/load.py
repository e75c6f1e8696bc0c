"""An encoder by name, with its weights: ``timm:vit_base_patch16_224`` and a file or a revision."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ltbench.encoder import Encoder, EncoderRequest, LoadedEncoder, Preprocessing
from ltbench.encoders.weights import digest_of, digest_of_state, hub_file
from ltbench.errors import ContractError, InputError, LtbenchError, describe
from ltbench.registry import load_encoders


@dataclass(frozen=True)
class Chosen:
    """An encoder that is ready to run, and what a folder of its features says of it.

    image_size: of the only images that it takes, in pixels, 0 where any.
    """

    name: str
    output: str
    loaded: LoadedEncoder
    image_size: int = 0


def load_encoder(
    text: str,
    *,
    weights: Path | None = None,
    revision: str = "",
    output: str = "",
    plugins: Sequence[str] = (),
) -> Chosen:
    """``text``: a name of the registry, of a family with a member behind a colon.

    Raises :class:`InputError`, one line, for an unknown name, a missing package, weights that are missing,
    needless or not those of the network, and an output that there is not.
    """
    name, colon, member = text.partition(":")
    cls = load_encoders(plugins).get(name).cls
    if cls.family and not member:
        raise InputError(
            f"--encoder {text}: which one? Give {name}:NAME; `ltbench show {name}` says more"
        )
    if colon and not cls.family:
        raise InputError(f"--encoder {text}: {name} is one encoder, nothing follows its name")
    if output and output not in cls.outputs:
        raise InputError(f"--output {output}: {name} has {', '.join(cls.outputs)}")
    _check_weights(text, cls, weights, revision)
    encoder = cls()
    if revision:
        repository, file = asking(encoder, lambda: encoder.hub(member))
        weights = asking(encoder, lambda: hub_file(repository, file, revision))
    sha256 = digest_of(weights) if weights is not None else ""
    request = EncoderRequest(member, weights, sha256, revision, output or cls.outputs[0])
    loaded = asking(encoder, lambda: encoder.load(request))
    _check_loaded(text, loaded)
    if sha256 or not loaded.weights:
        told = f"sha256:{sha256}" if sha256 else f"state-sha256:{digest_of_state(loaded.network)}"
        loaded = dataclasses.replace(loaded, weights=told)
    return Chosen(text, request.output, loaded)


def _check_weights(text: str, cls: type[Encoder], weights: Path | None, revision: str) -> None:
    """Exactly one of what the encoder takes."""
    given = {"weights": weights is not None, "revision": bool(revision)}
    for option, there in given.items():
        if there and option not in cls.takes:
            can = " or ".join(f"--{taken}" for taken in cls.takes)
            raise InputError(
                f"--encoder {text} takes no --{option}" + (f"; give {can}" if can else "")
            )
    if cls.takes and sum(given.values()) != 1:
        file = "--weights FILE, a local .safetensors or .pth"
        hub = "--revision R, a commit of its repository at the hub"
        ways = [{"weights": file, "revision": hub}[taken] for taken in cls.takes]
        which = "one of the two" if all(given.values()) else "its weights"
        raise InputError(f"--encoder {text} needs {which}: {' or '.join(ways)}")


def asking(encoder: Encoder, call: Any) -> Any:
    """``call()``; whatever it raises that is no error of ltbench's becomes one line."""
    try:
        return call()
    except LtbenchError:
        raise
    except ImportError as error:
        if not encoder.requires:
            raise InputError(
                f"encoder {encoder.name!r} cannot import what it needs: {error}"
            ) from error
        extra = f": pip install 'ltbench[{encoder.extra}]'" if encoder.extra else ""
        raise InputError(
            f"encoder {encoder.name!r} needs {', '.join(encoder.requires)}, which cannot be imported "
            f"({error}){extra}"
        ) from error
    except Exception as error:  # a plugin may raise whatever it likes
        raise ContractError(
            f"encoder {encoder.name!r} failed to load: {describe(error)}"
        ) from error


def _check_loaded(text: str, loaded: object) -> None:
    if not isinstance(loaded, LoadedEncoder):
        raise ContractError(
            f"encoder {text!r}: load() must return a LoadedEncoder, not {type(loaded).__name__}"
        )
    if not isinstance(loaded.network, nn.Module):
        raise ContractError(f"encoder {text!r}: network must be a torch.nn.Module")
    if not isinstance(loaded.preprocessing, Preprocessing):
        raise ContractError(f"encoder {text!r}: preprocessing must be a Preprocessing")


def with_preprocessing(chosen: Chosen, changes: Mapping[str, Any]) -> Chosen:
    """``changes``: fields of :class:`Preprocessing` that the user wants otherwise."""
    if not changes:
        return chosen
    made = dataclasses.replace(chosen.loaded.preprocessing, **changes)
    return dataclasses.replace(
        chosen, loaded=dataclasses.replace(chosen.loaded, preprocessing=made)
    )
