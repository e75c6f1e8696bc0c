"""``--debug``: the traceback of an error, which nobody else is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from ltbench.cli import main
from ltbench.errors import InputError


class Told(NamedTuple):
    code: int
    err: str


Broken = Callable[..., Told]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Broken:
    """``broken(error, *words)``: a command line on which ``ltbench show`` raises ``error``."""

    def run(error: BaseException, *words: str) -> Told:
        def fail(*arguments: object, **settings: object) -> None:
            raise error

        monkeypatch.setattr("ltbench.cli.show.command.callback", fail)
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert isinstance(ended.value.code, int)
        return Told(ended.value.code, capsys.readouterr().err)

    return run


def test_an_unexpected_error_is_one_line(broken: Broken) -> None:
    told = broken(ZeroDivisionError("division by zero\nand more"), "show", "ce")
    line = "Error: unexpected ZeroDivisionError: division by zero"
    assert told == (1, f"{line}; run again with --debug for the traceback\n")


@pytest.mark.parametrize("words", [("--debug", "show", "ce"), ("show", "ce", "--debug")])
def test_debug_shows_where_it_happened(broken: Broken, words: tuple[str, ...]) -> None:
    code, err = broken(ZeroDivisionError("division by zero"), *words)
    assert code == 1
    first, *between, last = err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert any("raise error" in line for line in between)
    assert last == "Error: unexpected ZeroDivisionError: division by zero"


def test_an_input_error_has_its_traceback_only_by_debug(broken: Broken) -> None:
    assert broken(InputError("no such thing"), "show", "ce") == (2, "Error: no such thing\n")
    code, err = broken(InputError("no such thing"), "show", "ce", "--debug")
    assert code == 2
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith("\nError: no such thing\n")


def test_a_refusal_of_the_system_is_no_unexpected_error(broken: Broken) -> None:
    error = PermissionError(13, "Permission denied", "there")
    assert broken(error, "show", "ce") == (1, "Error: there: Permission denied\n")
    _, err = broken(error, "show", "ce", "--debug")
    assert err.startswith("Traceback")


def test_behind_two_dashes_it_is_a_word_like_any_other(broken: Broken) -> None:
    told = broken(ZeroDivisionError("division by zero"), "show", "--", "--debug")
    assert told.err.endswith("; run again with --debug for the traceback\n")


def test_a_wrong_option_keeps_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--debug", "show", "--nonsense"])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Traceback" in err
    assert "No such option" in err


def test_the_help_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--debug" in capsys.readouterr().out
