"""Every method and strategy that ltbench ships, as the registry knows it: one section each."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

from roles import without_roles
from settings_table import settings_table

from ltbench.registry import Plugin, Registry, load_registries
from ltbench.settings import show

ROOT = Path(__file__).resolve().parents[2]


def registry_page() -> str:
    found = load_registries()
    return (
        "## Methods\n\n"
        + "\n".join(section("method", plugin) for plugin in shipped(found.methods))
        + "\n## Strategies\n\n"
        + "\n".join(section("strategy", plugin) for plugin in shipped(found.strategies))
    )


def shipped(registry: Registry[Any]) -> list[Plugin[Any]]:
    """Those of the repository, not of what else is installed. Raises ValueError for a broken one."""
    for broken in registry.broken.values():
        if broken.origin.startswith("ltbench."):
            raise ValueError(f"{registry.kind} {broken.name} is broken: {broken.reason}")
    own = (p for p in registry.plugins.values() if p.origin.startswith("ltbench."))
    return sorted(own, key=lambda plugin: plugin.name)


def section(kind: str, plugin: Plugin[Any]) -> str:
    cls = plugin.cls
    module = inspect.getmodule(cls)
    idea = (inspect.getdoc(module) or "").partition("\n")[0]
    equation, _, rest = without_roles(inspect.getdoc(cls) or "").partition("\n\n")
    parts = [
        f"### `{plugin.name}`: {cls.title} {{ #{kind}-{plugin.name} }}",
        idea,
        fenced(equation),
        rest,
        "\n".join(f"- {fact}" for fact in facts(plugin)),
    ]
    if dataclasses.fields(cls.hyper_type):
        parts.append(settings_table(cls.hyper_type))
    return "\n\n".join(part for part in parts if part) + "\n"


def fenced(docstring: str) -> str:
    """The first paragraph, which states the equation, as it was typed."""
    return f"```text\n{docstring}\n```"


def facts(plugin: Plugin[Any]) -> list[str]:
    cls = plugin.cls
    file = Path(inspect.getfile(cls)).resolve().relative_to(ROOT).as_posix()
    found = []
    if hasattr(cls, "needs"):
        found.append("Needs: " + (", ".join(f"`{n}`" for n in sorted(cls.needs)) or "logits alone"))
        if cls.min_experts > 1:
            found.append(f"Needs at least {cls.min_experts} experts")
        if cls.max_classes is not None:
            found.append(f"At most {cls.max_classes:,} classes")
    else:
        found.append(f"Family: {cls.family}")
        found.append(
            f"At test time, unless another is named: [`{cls.strategy}`](#strategy-{cls.strategy})"
        )
    found.append(f"Version {cls.version}, code: [{file}](../{file})")
    if cls.reference is None:
        return found
    ref = cls.reference
    found.append(f"Source: {ref.authors}: [{ref.title}]({ref.url}), {ref.venue} {ref.year}")
    if ref.settings:
        stated = ", ".join(f"`{key} = {show(value)}`" for key, value in ref.settings.items())
        where = f" ({ref.settings_source})" if ref.settings_source else ""
        found.append(f"Published settings{where}: {stated}")
    return found
