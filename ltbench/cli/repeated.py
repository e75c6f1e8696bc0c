"""Options that take one value and were given twice: click would keep the last without a word."""

from __future__ import annotations

from collections.abc import Sequence

import click


def refuse_repeats(command: click.Command, context: click.Context, words: Sequence[str]) -> None:
    """Raises :class:`click.UsageError` where ``words`` give an option of ``command`` twice.

    Flags, counts and options made to be repeated may be. Words that cannot be parsed are left to
    the parsing that follows, which says what is wrong with them.
    """
    with click.Context(
        command, info_name=command.name, parent=context, resilient_parsing=True
    ) as inner:
        try:
            _, rest, order = command.make_parser(inner).parse_args(list(words))
        except click.UsageError:
            return
        seen: set[str] = set()
        for parameter in order:
            if not isinstance(parameter, click.Option) or parameter.multiple:
                continue
            if parameter.is_flag or parameter.count or parameter.name is None:
                continue
            if parameter.name in seen:
                option = max(parameter.opts, key=len)
                inner.fail(f"{option} is given twice; it takes one value")
            seen.add(parameter.name)
        if isinstance(command, click.Group) and rest:
            below = command.get_command(inner, rest[0])
            if below is not None:
                refuse_repeats(below, inner, rest[1:])
