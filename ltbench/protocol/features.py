"""What a protocol of frozen features may say, and what only one of images."""

from __future__ import annotations

from ltbench.errors import InputError
from ltbench.protocol.foreign import PIXELS
from ltbench.protocol.protocol import FEATURES, FROZEN, Protocol, Recipe


def check_features(protocol: Protocol, where: str) -> None:
    """Raises :class:`InputError`, one line, for settings of images beside features and the reverse."""
    model, source = protocol.model, protocol.data.source
    if (source == FEATURES) != (model.backbone == FROZEN):
        raise InputError(
            f'{where}.model: backbone = "{model.backbone}" does not go with source "{source}"; source '
            f'"{FEATURES}" and backbone = "{FROZEN}" need each other'
        )
    if source != FEATURES:
        for name in model.of_features:
            raise InputError(f'{where}.model: {name} needs backbone = "{FROZEN}"')
        return
    recipes = {f"{where}.recipe": protocol.recipe} | {
        f"{where}.methods.{name}.recipe": protocol.recipe_for(name) for name in protocol.methods
    }
    for place, recipe in recipes.items():
        _check_recipe(recipe, place)
    if model.scale is not None and model.head == "linear":
        raise InputError(f'{where}.model: scale is of cosine heads; head is "linear"')


def _check_recipe(recipe: Recipe, place: str) -> None:
    usual = Recipe(epochs=1, batch_size=1, lr=1)
    for key in PIXELS:
        name = key.removeprefix("recipe.")
        if getattr(recipe, name) != getattr(usual, name):
            raise InputError(f"{place}.{name}: features come with stored copies; leave it out")
