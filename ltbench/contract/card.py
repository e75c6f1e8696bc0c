"""What a plugin says of itself: name, title, version, reference, hyper-parameters."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

from ltbench.contract.method_case import variants
from ltbench.contract.unmet import Property, Unmet, require
from ltbench.errors import InputError
from ltbench.hyper import Hyper, asking_values
from ltbench.method import Reference
from ltbench.names import check_name
from ltbench.protocol.protocol import Recipe
from ltbench.registry import Plugin, Registries
from ltbench.strategy import Need


@dataclasses.dataclass(frozen=True)
class Card:
    """A plugin with everything else that is registered."""

    plugin: Plugin[Any]
    registries: Registries


def name_and_version(card: Card) -> None:
    """It has a usable name and a version."""
    cls = card.plugin.cls
    try:
        check_name(cls.name, "name")
    except InputError as error:
        raise Unmet(str(error)) from None
    require(
        type(cls.version) is int and cls.version >= 1,
        f"version = {cls.version!r} must be a whole number from 1 on",
    )


def title(card: Card) -> None:
    """It has a title; tables print it beside the name."""
    require(card.plugin.cls.title.strip(), "title is empty")


def docstring(card: Card) -> None:
    """Its docstring states the equation; `ltbench show` prints it."""
    require(card.plugin.cls.__dict__.get("__doc__"), "the class has no docstring")


def reference(card: Card) -> None:
    """It names its paper, so that `show` and `report --cite` can."""
    found = card.plugin.cls.reference
    require(
        found is not None, "no reference; set reference = Reference(authors, title, venue, ...)"
    )
    require(isinstance(found, Reference), f"reference is {type(found).__name__}, not a Reference")
    for key in ("authors", "title", "venue"):
        require(getattr(found, key), f"reference.{key} is empty")
    require(1990 < found.year < 2100, f"reference.year = {found.year} is no year of publication")
    require(found.url.startswith("https://"), f"reference.url = {found.url!r} is no https address")


def published_settings(card: Card) -> None:
    """Settings quoted from its paper are its defaults, or keys of the recipe."""
    found = card.plugin.cls.reference
    if not isinstance(found, Reference):  # told by the property above
        return
    defaults = card.plugin.cls.hyper_type().to_json()
    recipe = {field.name for field in dataclasses.fields(Recipe)}
    for key, published in found.settings.items():
        if key.startswith("recipe."):
            require(key.removeprefix("recipe.") in recipe, f"reference.settings: no {key!r}")
        else:
            require(
                key in defaults and defaults[key] == published,
                f"reference.settings: {key} = {published} is not the default of the method",
            )
    if found.settings:
        require(found.settings_source, "reference.settings_source must say where they stand")


def own_strategy_exists(card: Card) -> None:
    """The test-time strategy that it names is registered."""
    name = card.plugin.cls.strategy
    known = card.registries.strategies.plugins
    require(name in known, f"strategy = {name!r}; known: {', '.join(sorted(known))}")


def declared_needs(card: Card) -> None:
    """What it declares in `needs`, in those of its settings and in `min_experts` exists."""
    cls = card.plugin.cls
    asked = asking_values(cls.hyper_type)
    for one in asked:
        cls.hyper_type.from_mapping({one.setting: one.value}, card.plugin.name)
    unknown = sorted({*cls.needs, *(one.need for one in asked)} - set(get_args(Need)))
    listed = ", ".join(get_args(Need))
    require(not unknown, f"needs names {', '.join(map(repr, unknown))}; there are: {listed}")
    require(cls.min_experts >= 1, f"min_experts = {cls.min_experts} must be at least 1")
    most = cls.max_classes
    require(most is None or most >= 2, f"max_classes = {most} must be None or at least 2")


def hyper_parameters_are_typed_and_frozen(card: Card) -> None:
    """Its hyper-parameters have defaults, are frozen, and come back from JSON and from text."""
    kind, name = card.plugin.cls.hyper_type, card.plugin.name
    require(
        isinstance(kind, type) and issubclass(kind, Hyper) and dataclasses.is_dataclass(kind),
        "hyper_type must be a @dataclass(frozen=True) that derives from ltbench.Hyper",
    )
    for changes in variants(kind):
        hyper = kind.from_mapping(changes, name)
        try:
            stored = json.loads(json.dumps(hyper.to_json(), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise Unmet(f"a hyper-parameter is not JSON: {error}") from None
        require(kind.from_mapping(stored, name) == hyper, "they do not come back from JSON equal")
        text = {key: str(value) for key, value in hyper.to_json().items()}
        require(
            kind.from_mapping(text, name) == hyper,
            f"they do not come back from text equal, as in {name}[key=value]; use bool, int, float "
            "and str",
        )
        require(set(hyper.training_part()) <= set(hyper.to_json()), "training_part adds a key")
        for field in dataclasses.fields(kind):
            try:
                setattr(hyper, field.name, 1)
            except dataclasses.FrozenInstanceError:
                continue
            raise Unmet("the hyper-parameters can be changed; write @dataclass(frozen=True)")


def hyper_parameters_have_help(card: Card) -> None:
    """Each hyper-parameter has a help text."""
    for field in dataclasses.fields(card.plugin.cls.hyper_type):
        text = field.metadata.get("help")
        require(text, f"{field.name}: write setting(default, help='...') from ltbench.settings")


def an_unknown_hyper_parameter_is_refused(card: Card) -> None:
    """A misspelt hyper-parameter is refused, with the nearest right one."""
    kind, name = card.plugin.cls.hyper_type, card.plugin.name
    names = [field.name for field in dataclasses.fields(kind)]
    wrong = f"{names[0]}x" if names else "tau"
    try:
        kind.from_mapping({wrong: 1}, name)
    except InputError as error:
        expected = f"did you mean '{names[0]}'" if names else "it has: none"
        told = f"{name} has no '{wrong}'" in str(error) and expected in str(error)
        require(told, f"it is refused in other words than ltbench's: {error}")
        return
    raise Unmet(f"{wrong!r} was accepted; leave from_mapping to ltbench.Hyper")


_BOTH: tuple[Property[Card], ...] = (
    Property(name_and_version),
    Property(title, advice=True),
    Property(docstring, advice=True),
    Property(reference, advice=True),
    Property(published_settings, advice=True),
    Property(hyper_parameters_are_typed_and_frozen),
    Property(hyper_parameters_have_help, advice=True),
    Property(an_unknown_hyper_parameter_is_refused),
)
METHOD_CARD: tuple[Property[Card], ...] = (*_BOTH, Property(own_strategy_exists))
STRATEGY_CARD: tuple[Property[Card], ...] = (*_BOTH, Property(declared_needs))
