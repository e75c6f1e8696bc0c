"""Reading protocol files: TOML, ``extends``, ``--set`` overrides, one-line errors."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ltbench.backbone import ChosenBackbone
from ltbench.errors import InputError, nearest
from ltbench.files import read_whole
from ltbench.names import check_name
from ltbench.protocol.features import check_features
from ltbench.protocol.foreign import foreign_keys, leave_out, unset
from ltbench.protocol.mix import is_list
from ltbench.protocol.overrides import parse_overrides
from ltbench.protocol.protocol import FEATURES, MethodOverrides, Protocol, Recipe
from ltbench.protocol.registry import find_protocols
from ltbench.protocol.study import check_parts
from ltbench.protocol.training_table import adopt_profile
from ltbench.registry import load_backbones, load_sources
from ltbench.settings import read, show

# What names itself in every table is no variant: test sets by ratio or name, the number of draws, seeds.
_NO_VARIANT = (
    *(
        "test.ratios",
        "test.draws",
        "test.partial",
        "test.subsets",
        "test.mixes",
        "seeds",
        "ensembles",
    ),
    *("test.dirichlet.concentrations", "test.dirichlet.number"),
    *("test.permuted.ratios", "test.permuted.number"),
    "model.pretrained.file",  # its digest tells
    "data.encoder",  # claimed, and told by the folder itself
)


_LARGEST = 1 << 22  # bytes; Python's reader of TOML takes a second for a megabyte

INHERIT = "inherit"
"""``study = "inherit"`` beside ``extends``: the base's study holds for this file, too."""


def load_protocol_config(
    name: str,
    sets: Sequence[str] | Mapping[str, Any] = (),
    *,
    plugins: Sequence[str] = (),
) -> Protocol:
    """Loads a protocol by name or from a ``.toml`` file.

    ``sets``: overrides, ``["recipe.epochs=40"]`` or ``{"recipe.epochs": 40}``. Raises
    :class:`InputError` with one line for an unknown protocol or key and for a wrong value.
    """
    if not isinstance(name, str):
        raise InputError(f"protocol = {name!r} must be a text: a name or a .toml file")
    path = _find(name, plugins)
    table = _read_table(path, plugins)
    overrides = dict(sets) if isinstance(sets, Mapping) else parse_overrides(sets)
    _adopt_profile_of_overrides(table, overrides)
    if "data.source" in overrides:
        there = {"data": {"source": overrides["data.source"]}}
        keeps = "" if overrides["data.source"] == FEATURES else "data.image_size"
        left = [key for key in foreign_keys(table, there, path, path) if key != keeps]
        _leave_what_is_of_other_images(table, left, name)
    for key, value in overrides.items():
        _override(table, key, value)
    _draw_a_subset_where_asked(table, overrides)
    protocol = _build(table, path, plugins)
    _check_own_name(protocol.name, path, plugins)
    variant = _variant(protocol, _build(_read_table(path, plugins), path, plugins), overrides)
    return dataclasses.replace(protocol, variant=variant)


def _find(name: str, plugins: Sequence[str]) -> Path:
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"protocol file {name} does not exist")
        return path
    return find_protocols(plugins).get(name)


def _check_own_name(name: str, path: Path, plugins: Sequence[str]) -> None:
    """Records carry the name alone, so no other rules may stand behind a known one."""
    known = find_protocols(plugins).files.get(name)
    if known is not None and known.resolve() != path.resolve():
        raise InputError(f"{path}: the name {name!r} is that of {known}; choose another one")


def _read_table(path: Path, plugins: Sequence[str], seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path in seen:
        raise InputError(f"{path}: 'extends' goes round in a circle")
    try:
        table = tomllib.loads(read_whole(path, _LARGEST).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # also of a number too long for Python
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"protocol file {path} is not readable TOML: {reason}") from error
    _find_mix_files(table, path.parent)
    _find_weights(table, path.parent)
    for reserved in ("not_inherited", "images_unlike"):
        if reserved in table:
            raise InputError(f"{table.get('name', path.name)} has no {reserved!r}")
    parent = table.pop("extends", None)
    if parent is None:
        for key in ("study", "unset"):
            if table.get(key) is not None and (key == "unset" or table[key] == INHERIT):
                stated = f'study = "{INHERIT}"' if key == "study" else "unset"
                raise InputError(f'{path}: {stated} needs extends = "..."')
        return table
    sibling = path.parent / str(parent)
    base_path = (
        sibling if sibling.suffix == ".toml" and sibling.is_file() else _find(str(parent), plugins)
    )
    base = _read_table(base_path, plugins, (*seen, path))
    foreign = foreign_keys(base, table, base_path.parent, path.parent)
    _leave_what_is_of_other_images(base, foreign, str(parent))
    unset(base, table.pop("unset", []), str(path))
    # The parts of a study are named for the settings of the file that lists them.
    if table.get("study") == INHERIT:
        del table["study"]
    else:
        base.pop("study", None)
    if isinstance(base.get("train"), dict) and isinstance(table.get("train"), dict):
        adopt_profile(base["train"], table["train"])
    for name in _mixes(table):  # a mix is one thing: of two none is merged with the other
        _mixes(base).pop(name, None)
    return _merge(base, table)


def _mixes(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table ``[test.mixes]``; an empty one where there is none, or what is no table."""
    test = table.get("test")
    mixes = test.get("mixes") if isinstance(test, dict) else None
    return mixes if isinstance(mixes, dict) else {}


def _find_mix_files(table: Mapping[str, Any], home: Path) -> None:
    """Paths of mixes are relative to the protocol file."""
    mixes = _mixes(table)
    for name, value in mixes.items():
        if isinstance(value, str) and value.strip() and not is_list(value):
            mixes[name] = str((home / value).resolve())


def _leave_what_is_of_other_images(base: dict[str, Any], keys: Sequence[str], parent: str) -> None:
    """Notes in ``not_inherited`` what ``base`` said of its own images, told by ``show`` and ``check``."""
    left = leave_out(base, keys)
    if left:
        base["not_inherited"] = list(dict.fromkeys([*base.get("not_inherited", []), *left]))
        base["images_unlike"] = parent


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        merged[key] = (
            _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _override(table: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    here = table
    for parent in parents:
        here = here.setdefault(parent, {})
        if not isinstance(here, dict):
            raise InputError(f"--set {key}: {parent!r} is a value, not a table")
    if isinstance(here.get(last), dict) and not isinstance(value, Mapping):
        raise InputError(
            f"--set {key}: {last!r} is a table; name one of its keys, as in {key}.name=value"
        )
    here[last] = value


def _adopt_profile_of_overrides(table: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    if isinstance(table.get("train"), dict):
        asked = [key for key in overrides if key.startswith("train.")]
        adopt_profile(table["train"], {key.removeprefix("train."): overrides[key] for key in asked})


def _draw_a_subset_where_asked(table: dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """An imbalance asked of images that are otherwise taken as they are: the largest class leads."""
    train = table.get("train")
    asked = "train.imbalance" in overrides and "train.profile" not in overrides
    if asked and isinstance(train, dict) and train.get("profile") == "all":
        train["profile"] = "exponential"
        train.setdefault("class_order", "size")


def _build(table: Mapping[str, Any], path: Path, plugins: Sequence[str]) -> Protocol:
    table = dict(table)
    where = str(table.get("name", path.name))
    table["methods"] = {
        name: _method_overrides(values, f"{where}.methods.{name}")
        for name, values in _table(table.get("methods", {}), f"{where}.methods").items()
    }
    _find_weights(table, path.parent)
    for reserved in ("variant", "origin", "backbone_code"):
        if reserved in table:
            raise InputError(f"{where} has no {reserved!r}")
    table["origin"] = str(path)
    left = [key for key in table.get("not_inherited", []) if not _is_stated(table, key)]
    table["not_inherited"] = left
    of_images = _table(table.get("data", {}), f"{where}.data").get("source") != FEATURES
    if "data.image_size" in left and of_images:
        raise InputError(
            f"{where}.data lacks 'image_size', which is not taken over from "
            f"{table['images_unlike']}: its images are others"
        )
    protocol = read(Protocol, table, where)
    check_name(protocol.name, f"protocol name in {path}")
    protocol = _with_typed_options(protocol, where, plugins)
    protocol = _with_backbone(protocol, where, plugins)
    if protocol.name in ("published", "report", "tuning"):
        raise InputError(f"{path}: the name {protocol.name!r} is that of a folder in every results")
    for method in protocol.methods:
        protocol.recipe_for(method)
    check_features(protocol, where)
    _check_test_names(protocol, where)
    _check_subsets(protocol, where)
    _check_counts(protocol, where)
    check_parts(protocol.study, where)
    if protocol.data.path and not Path(protocol.data.path).is_absolute():
        data = dataclasses.replace(
            protocol.data, path=str((path.parent / protocol.data.path).resolve())
        )
        protocol = dataclasses.replace(protocol, data=data)
    return protocol


def _with_typed_options(protocol: Protocol, where: str, plugins: Sequence[str]) -> Protocol:
    """``[data.options]`` as the source types them: text and numbers are one, defaults are left out.

    So one choice has one identity, and one that changes nothing has that of no choice at all.
    """
    if not protocol.data.options:
        return protocol
    cls = load_sources(plugins).get(protocol.data.source).cls
    read_as = cls.hyper_type.from_mapping(protocol.data.options, f"{where}.data.options")
    options = {
        field.name: getattr(read_as, field.name)
        for field in dataclasses.fields(read_as)
        if field.name in protocol.data.options and getattr(read_as, field.name) != field.default
    }
    return dataclasses.replace(protocol, data=dataclasses.replace(protocol.data, options=options))


def _with_backbone(protocol: Protocol, where: str, plugins: Sequence[str]) -> Protocol:
    """Checks ``[model]`` against the backbone that it names, and notes the digest of a plugin's code.

    ``shared`` is left out where it is what the backbone does anyway: one choice has one identity.
    """
    model, known = protocol.model, load_backbones(plugins)
    try:
        plugin = known.get(model.backbone)
        usual = ChosenBackbone.of(plugin.cls).shared
        if model.shared is not None and ChosenBackbone.of(plugin.cls, model.shared).shared == usual:
            model = dataclasses.replace(model, shared=None)
        if model.pretrained.file and not plugin.cls.takes_weights:
            raise InputError(f"backbone {plugin.name!r} takes no pretrained weights")
    except InputError as error:
        raise InputError(f"{where}.model: {error}") from None
    return dataclasses.replace(protocol, model=model, backbone_code=plugin.digest)


def _find_weights(table: Mapping[str, Any], home: Path) -> None:
    """The path of pretrained weights is relative to the protocol file."""
    model = table.get("model")
    given = model.get("pretrained") if isinstance(model, dict) else None
    if isinstance(given, dict) and isinstance(given.get("file"), str) and given["file"]:
        given["file"] = str((home / given["file"]).resolve())


def _is_stated(table: Mapping[str, Any], key: str) -> bool:
    section, name = key.split(".")
    return name in _table(table.get(section, {}), section)


def _method_overrides(values: Any, where: str) -> dict[str, Any]:
    values = dict(_table(values, where))
    recipe = dict(_table(values.pop("recipe", {}), f"{where}.recipe"))
    names = [field.name for field in dataclasses.fields(Recipe)]
    for key in recipe:
        if key not in names:
            raise InputError(f"{where}.recipe has no {key!r}{nearest(key, names)}")
    return {"hyper": values, "recipe": recipe}


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a table, not {value!r}")
    return value


def _check_test_names(protocol: Protocol, where: str) -> None:
    """Names of subsets and mixes are those of no other test set."""
    reserved = ("uniform", "natural", "many-only", "medium-only", "few-only")
    numbered = ("forward", "backward", "dirichlet", "permuted")
    for key in ("subsets", "mixes"):
        for name in getattr(protocol.test, key):
            check_name(name, f"{where}.test.{key}")
            if name in reserved or name.startswith(numbered):
                raise InputError(
                    f"{where}.test.{key}.{name}: that name is taken by a standard test set"
                )
    for name in protocol.test.mixes:
        if name in protocol.test.subsets:
            raise InputError(f"{where}.test.mixes.{name}: test.subsets has that name, too")


def _check_subsets(protocol: Protocol, where: str) -> None:
    for name, classes in protocol.test.subsets.items():
        if not classes or len(set(classes)) != len(classes):
            raise InputError(f"{where}.test.subsets.{name} must list different classes")
        labels = [c for c in classes if isinstance(c, int)]
        if labels and (min(labels) < 0 or max(labels) >= protocol.data.used_classes):
            last = protocol.data.used_classes - 1
            raise InputError(f"{where}.test.subsets.{name}: classes go from 0 to {last}")


def _check_counts(protocol: Protocol, where: str) -> None:
    given, classes = len(protocol.train.counts), protocol.data.used_classes
    if given and given != classes:
        raise InputError(f"{where}.train.counts lists {given} classes, there are {classes}")


def _variant(protocol: Protocol, plain: Protocol, overrides: Mapping[str, Any]) -> str:
    """``"recipe.epochs=40;train.imbalance=50"``: what differs from the file, sorted by key."""
    parts = []
    for key in sorted(overrides):
        if key.startswith(_NO_VARIANT):
            continue
        value, usual = _lookup(protocol, key), _lookup(plain, key)
        if value != usual:
            parts.append(f"{key}={show(value)}")
    return ";".join(parts)


def _lookup(protocol: Protocol, key: str) -> Any:
    """The value behind a dotted key; None where the protocol states none."""
    section, *rest = key.split(".")
    if section == "strategies":
        return protocol.strategies.get(rest[0], {}).get(rest[-1])
    if section == "methods" and rest[1] == "recipe":
        return getattr(protocol.recipe_for(rest[0]), rest[-1])
    if section == "methods":
        return protocol.methods.get(rest[0], MethodOverrides()).hyper.get(rest[-1])
    value: Any = protocol
    for part in (section, *rest):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part)
    return value
