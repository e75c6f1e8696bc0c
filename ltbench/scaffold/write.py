"""Writes a working plugin and its test under the name its author wants."""

from __future__ import annotations

from pathlib import Path

from ltbench.errors import InputError
from ltbench.files import write_text
from ltbench.names import ALL, check_name
from ltbench.protocol.protocol import SOURCE_ALIASES
from ltbench.protocol.registry import find_protocols
from ltbench.registry import load_registries
from ltbench.scaffold import backbone, method, protocol, source, strategy
from ltbench.scaffold.kinds import contrastive, experts, mixing, trained, two_stage

KINDS = ("method", "strategy", "protocol", "source", "backbone")
_TEMPLATES = {
    "method": (method.PLUGIN, method.TEST, ".py"),
    "strategy": (strategy.PLUGIN, strategy.TEST, ".py"),
    "protocol": (protocol.PLUGIN, protocol.TEST, ".toml"),
    "source": (source.PLUGIN, source.TEST, ".py"),
    "backbone": (backbone.PLUGIN, backbone.TEST, ".py"),
}
METHOD_KINDS = ("plain", "mixing", "two-stage", "experts", "contrastive")
_METHODS = {
    "mixing": (mixing.PLUGIN, mixing.WORTH),
    "two-stage": (two_stage.PLUGIN, two_stage.WORTH),
    "experts": (experts.PLUGIN, experts.WORTH),
    "contrastive": (contrastive.PLUGIN, contrastive.WORTH),
}


def write_plugin(
    kind: str, name: str, folder: Path, *, method_kind: str = "plain"
) -> tuple[Path, Path]:
    """The plugin's file and its test in ``folder``; nothing that exists is overwritten.

    method_kind: one of ``METHOD_KINDS``, of a method. Raises :class:`InputError` for a name that is
    unusable or taken, and for files that are there.
    """
    check_free(kind, name)
    plugin, test, suffix = _TEMPLATES[kind]
    if kind == "method" and method_kind != "plain":
        plugin, worth = _METHODS[method_kind]
        test = trained.TEST.replace("@WORTH@", worth)
    module = name.replace("-", "_").replace(".", "_")
    paths = (folder / f"{module}{suffix}", folder / f"test_{module}.py")
    for path in paths:
        if path.exists():
            raise InputError(f"{path} exists; choose another name or --output DIR")
    words = {
        "@NAME@": name,
        "@MODULE@": module,
        "@TITLE@": name.replace("-", " ").replace("_", " ").capitalize(),
        "@CLASS@": _class_name(module),
    }
    for path, text in zip(paths, (plugin, test), strict=True):
        for mark, word in words.items():
            text = text.replace(mark, word)
        try:
            write_text(path, text)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    return paths


def _class_name(module: str) -> str:
    name = "".join(part.capitalize() for part in module.split("_"))
    return name if name[:1].isalpha() else f"Plugin{name}"


def check_free(kind: str, name: str) -> None:
    """Raises :class:`InputError` for a ``name`` that is unusable or that a ``kind`` here has already."""
    check_name(name, f"{kind} name")
    registries = load_registries()
    taken = {
        "method": {*registries.methods.plugins, ALL},
        "strategy": set(registries.strategies.plugins),
        "protocol": set(find_protocols().files),
        "source": {*registries.sources.plugins, *SOURCE_ALIASES},
        "backbone": set(registries.backbones.plugins),
    }
    if name in taken[kind]:
        raise InputError(f"a {kind} is called {name!r} already; choose another name")
