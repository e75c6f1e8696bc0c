"""How a training is carried out so that it takes less time: switches that change a result by rounding alone.

``auto`` is what was measured to pay on a kind of device, ``plain`` none of it, and words joined by ``+``
ask for switches by name. Measured (200 epochs of CIFAR-100-LT, batches of 128, one NVIDIA H200): recording
steps as CUDA graphs takes one head from 171 to 87 s, three experts from 405 to 135 s. On a CPU compiling
gives at most 15 % after 30 to 55 s, and groups make convolutions slower. What was not measured on a device,
``auto`` leaves off there; nor does it choose a precision, which decides a result.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
from dataclasses import dataclass

from ltbench.errors import InputError

AUTO, PLAIN_WORD = "auto", "plain"
WORDS = {
    "graph": "cuda_graph",
    "grouped": "grouped_experts",
    "compile": "compile",
    "augment": "compiled_augmentation",
}
"""What a user writes, and the switch that it turns on."""


@dataclass(frozen=True)
class Speed:
    """What is switched on; told in a trial's record, hashed nowhere."""

    cuda_graph: bool = False
    """Each step is recorded once and launched as a whole."""
    compile: bool = False
    """The network runs through torch.compile."""
    grouped_experts: bool = False
    """The experts' stages run as one network of grouped convolutions."""
    compiled_augmentation: bool = False
    """Crop, flip, rotation and normalisation are one kernel."""
    gives_up: bool = False
    """Whether steps that cannot be recorded stay eager, instead of ending the training."""

    def facts(self) -> dict[str, bool]:
        """The switches by name, for the record."""
        return {switch: getattr(self, switch) for switch in sorted(WORDS.values())}

    def where(self, *, groupable: bool, moves: bool) -> Speed:
        """Without what has nothing to work on: a single expert, an augmentation that moves nothing."""
        return dataclasses.replace(
            self,
            grouped_experts=self.grouped_experts and groupable,
            compiled_augmentation=self.compiled_augmentation and moves,
        )


PLAIN = Speed()


def parse_speed(text: str) -> frozenset[str]:
    """The words of ``auto``, ``plain`` or ``graph+grouped``. Raises :class:`InputError`, one line."""
    words = [word.strip() for word in text.split("+")] if isinstance(text, str) else [""]
    alone = {AUTO, PLAIN_WORD}
    if len(words) == 1 and words[0] in alone:
        return frozenset(words)
    if any(word not in WORDS for word in words):
        raise InputError(
            f"speed {text!r} must be auto, plain, or some of {', '.join(WORDS)} joined by +"
        )
    return frozenset(words)


def check_speed(text: str, kind: str, *, divided: str = "") -> None:
    """Raises :class:`InputError` where ``text`` asks by name for what cannot be there.

    kind: where it will run, ``cpu``, ``cuda`` or ``mps``; divided: the option that divides each step.
    """
    if "graph" not in parse_speed(text):
        return
    if kind != "cuda":
        raise InputError(f"--speed {text} needs a CUDA device; this run uses {kind}")
    if divided:
        raise InputError(
            f"{divided} and --speed {text} do not go together: a recorded step is whole"
        )


def resolve_speed(text: str, kind: str, *, whole: bool = True, resident: bool = True) -> Speed:
    """The switches that ``text`` stands for; a pure function.

    kind: ``cpu``, ``cuda`` or ``mps``; whole: one process works on each batch at once; resident: the
    images lie on the device, small ones, so that a step is bound by launches.
    """
    words = parse_speed(text)
    if words == {PLAIN_WORD}:
        return PLAIN
    if words == {AUTO}:
        graph = kind == "cuda" and whole and resident
        return Speed(cuda_graph=graph, gives_up=graph)
    return Speed(**{WORDS[word]: True for word in words})


def check_compiler(speed: Speed, kind: str) -> None:
    """Raises :class:`InputError` where a switch compiles and this machine has nothing to compile with."""
    if not (speed.compile or speed.compiled_augmentation):
        return
    wanted = [word for word, switch in WORDS.items() if switch in speed.facts()]
    asked = [w for w in wanted if w in ("compile", "augment") and getattr(speed, WORDS[w])]
    if why := no_compiler(kind):
        raise InputError(f"--speed {'+'.join(asked)} compiles, and {why}; leave it out")


def no_compiler(kind: str) -> str:
    """Why torch.compile cannot work for ``kind`` here; empty where it can."""
    names = [os.environ.get("CXX", ""), "g++", "clang++", "cl"]
    if kind == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "triton is not installed"
        names = [os.environ.get("CC", ""), "gcc", "clang", "cl"]
    if not any(name and shutil.which(name) for name in names):
        return f"there is no {'C' if kind == 'cuda' else 'C++'} compiler here"
    return ""
