"""Resolved values as a data frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ltbench.python.arguments import Plugins, dotted, plugin_files

if TYPE_CHECKING:
    import pandas as pd

SETTING_COLUMNS = {
    "of": "str",
    "key": "str",
    "value": "object",
    "source": "str",
    "published": "object",
    "departs": "bool",
    "help": "str",
}


def resolve_settings(
    row: str, protocol: str | None = None, *, plugins: Plugins = (), **overrides: Any
) -> pd.DataFrame:
    """Every resolved value of a row, as ``ltbench show METHOD --protocol NAME`` tells.

    row: ``"sade[tau=1]"``, ``"ce+em[map=3]"``, or a strategy alone, ``"em"``; overrides as for
    :func:`ltbench.load_protocol`. Columns: ``of`` (the method or strategy; of the recipe, the
    method that trains), ``key`` (``tau``, ``recipe.lr``), ``value``, ``source`` (default, protocol,
    ``protocol, methods.<name>`` or as asked), ``published`` (in the method's own paper or code, None
    where it is not recorded), ``departs`` (from that) and ``help``. Without ``protocol`` there is no
    recipe. Raises :class:`ValueError` for what is unknown.
    """
    import pandas as pd

    from ltbench.errors import InputError
    from ltbench.names import parse_row
    from ltbench.protocol.file import load_protocol_config
    from ltbench.registry import load_registries
    from ltbench.resolve import values as resolved

    files, flat = plugin_files(plugins), dotted(overrides)
    if flat and protocol is None:
        raise InputError(f"{next(iter(flat))} overrides a protocol, and none is named")
    registries = load_registries(files)
    under = load_protocol_config(protocol, flat, plugins=files) if protocol else None
    asked = parse_row(row)
    found: list[tuple[str, resolved.Setting]] = []
    alone = asked.strategy is None and asked.method.name in registries.strategies.plugins
    strategy = asked.method if alone else asked.strategy
    if not alone:
        name = asked.method.name
        found += [(name, s) for s in resolved.method_settings(asked.method, under, registries)]
    if strategy is not None:
        found += [
            (strategy.name, s) for s in resolved.strategy_settings(strategy, under, registries)
        ]
    if under is not None and not alone:
        training = resolved.training_of(asked, under, registries)
        found += [(training, s) for s in resolved.recipe_settings(training, under, registries)]
    rows = [
        {
            "of": of,
            "key": s.key,
            "value": s.value,
            "source": s.source,
            "published": s.published,
            "departs": s.is_published and s.published != s.value,
            "help": s.help,
        }
        for of, s in found
    ]
    return pd.DataFrame(rows, columns=list(SETTING_COLUMNS), dtype=object).astype(SETTING_COLUMNS)
