"""The command line: parses and calls. Commands are loaded when used, so that help is quick."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

from ltbench.version import __version__

COMMANDS = (
    *("run", "evaluate", "tune", "reproduce", "report", "decide", "list", "show", "status", "data"),
    *("features", "predictions", "new", "check", "diff", "clean"),
)

DEBUG = "--debug"
"""Shows tracebacks; without it no error of the command line has one."""

EPILOG = """\b
Examples:
  ltbench run --methods ce,balanced-softmax,ride,sade --protocol digits-lt
  ltbench run --methods sade,ride --protocol cifar100-lt --data-dir ~/cifar100
  ltbench run --methods 'sade[tau=1],ce+oracle' --protocol digits-lt --seeds 3
  ltbench report
"""


@contextlib.contextmanager
def _reader_gone_is_no_click_matter() -> Iterator[None]:
    """click would exit with 1, as if something had failed."""
    from ltbench.cli.output import OutputClosedError

    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError from error


class LazyGroup(click.Group):
    """Imports the module of a command when the command is asked for."""

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        with _reader_gone_is_no_click_matter():  # --help is printed here
            return super().make_context(*arguments, **settings)

    def invoke(self, context: click.Context) -> Any:
        with _reader_gone_is_no_click_matter():
            return super().invoke(context)

    def list_commands(self, context: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ltbench.cli.{name}").command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from ltbench.errors import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            known = ", ".join(COMMANDS)
            context.fail(f"no command {args[0]!r} (there are: {known}){nearest(args[0], COMMANDS)}")
        name, command, words = super().resolve_command(context, args)
        if command is not None:
            from ltbench.cli.repeated import refuse_repeats

            refuse_repeats(command, context, words)
        return name, command, words


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ltbench")
@click.option(
    DEBUG,
    is_flag=True,
    expose_value=False,  # taken out by `main`, wherever it stands
    help="Show the traceback of an error; may also stand behind the command.",
)
def cli() -> None:
    """Benchmark of test-agnostic long-tailed recognition: train once, meet any test distribution."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits: 0 fine, 1 a trial failed, 2 wrong input, 130 interrupted,
    141 where the reader of a pipe left."""
    from ltbench.cli.output import flush

    flush(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    from ltbench.cli.output import OutputClosedError, end_of_output
    from ltbench.errors import LtbenchError, describe

    words, debug = _without_debug(sys.argv[1:] if arguments is None else arguments)
    try:
        code = cli.main(words, prog_name="ltbench", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        _show_traceback(error, debug)
        error.show()
        return error.exit_code
    except LtbenchError as error:
        _show_traceback(error, debug)
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except Exception as error:
        _show_traceback(error, debug and not isinstance(error, OutputClosedError))
        ended = end_of_output(error)
        if ended is not None:
            return ended
        how = "" if debug else f"; run again with {DEBUG} for the traceback"
        click.echo(f"Error: unexpected {describe(error)}{how}", err=True)
        return 1


def _without_debug(words: Sequence[str]) -> tuple[list[str], bool]:
    """The words without ``--debug``, which may stand anywhere before ``--``, and whether it was there."""
    end = [*words].index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != DEBUG]
    return [*kept, *words[end:]], len(kept) < end


def _show_traceback(error: BaseException, debug: bool) -> None:
    if debug:
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)


def program() -> NoReturn:
    """:func:`main` as a process of its own, which ends at once.

    The interpreter would first free every object that torch made, for half a second and nobody.
    """
    try:
        main()
    except SystemExit as end:
        with contextlib.suppress(OSError):  # stdout was flushed already
            sys.stderr.flush()
        atexit._run_exitfuncs()
        os._exit(end.code if isinstance(end.code, int) else 0)
