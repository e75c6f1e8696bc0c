"""The command that a record repeats asks for the same again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ltbench.cli import cli
from ltbench.execute.command import run_command, shown, tune_command
from ltbench.execute.request import Request
from ltbench.protocol.seed_list import parse_seeds

FULL = Request(
    methods="sade[tau=1]+none,ce",
    protocol="my protocols/own.toml",
    seeds=(3,),
    results=Path("res ults"),
    data_dir=Path("im ages"),
    device="cpu",
    precision="bf16",
    jobs=2,
    loaders=3,
    processes=2,
    accumulate=4,
    speed="grouped+compile",
    plugins=("a b.py", "c.toml"),
    overrides={"recipe.epochs": 5, "test.ratios": (2, 2.5), "test.permuted.ratios": "50"},
    mode="augmented",
    arrivals=("batch:64", "single"),
)


def test_everything_that_was_asked_for_is_repeated() -> None:
    here = Path.cwd()
    command = run_command(FULL)
    assert command == (
        *("ltbench", "run", "--methods", "sade[tau=1]+none,ce"),
        *("--protocol", str(here / "my protocols/own.toml"), "--seeds", "3-3"),
        *("--set", "recipe.epochs=5", "--set", "test.ratios=2,2.5"),
        *("--set", "test.permuted.ratios=50", "--data-dir", str(here / "im ages")),
        *("--device", "cpu", "--precision", "bf16", "--jobs", "2", "--loaders", "3"),
        *("--processes", "2", "--accumulate", "4", "--speed", "grouped+compile"),
        *("--mode", "augmented", "--arrival", "batch:64", "--arrival", "single"),
        *("--plugin", str(here / "a b.py"), "--plugin", str(here / "c.toml")),
    )
    text = shown(command, FULL.results)
    assert shlex.split(text) == [*command, "--results", "res ults"]
    assert "'sade[tau=1]+none,ce'" in text


def test_what_is_usual_is_left_out() -> None:
    command = run_command(Request("ce", "digits-lt", train=False))
    assert shown(command, Path("results")) == ("ltbench evaluate --methods ce --protocol digits-lt")


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2), (3,), (0, 3), (1, 2)])
def test_seeds_read_back_as_they_are(seeds: tuple[int, ...]) -> None:
    words = run_command(Request("ce", "digits-lt", seeds=seeds))
    assert parse_seeds(words[words.index("--seeds") + 1]) == seeds


def test_every_word_is_an_option_of_the_command() -> None:
    for command in (run_command(FULL), tune_command(FULL, "sade", ["tau=1,2"])):
        name, *words = command[1:]
        parsed = cli.get_command(None, name)  # type: ignore[arg-type]
        assert parsed is not None
        parsed.make_context(name, list(words))
