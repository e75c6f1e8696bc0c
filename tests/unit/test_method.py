"""What a method may ask for: every field of Phase and Architecture is checked where it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ltbench import Architecture, Phase
from ltbench.errors import InputError

WRONG: list[tuple[type[Any], dict[str, Any], str]] = [
    (Phase, {"train": "head"}, "Phase: train = 'head' must be 'all' or 'heads'; did you mean 'heads'?"),
    (Phase, {"train": True}, "Phase: train = True must be 'all' or 'heads'"),
    (Phase, {"sampler": "sqrt"}, "Phase: sampler = 'sqrt' must be 'instance' or 'class-balanced'"),
    (Phase, {"sampler": 5}, "Phase: sampler = 5 must be 'instance', 'class-balanced' or the exponent"),
    (Phase, {"sampler": float("nan")}, "Phase: sampler = nan must be"),
    (Phase, {"sampler": True}, "Phase: sampler = True must be"),
    (Phase, {"second": "sqrt"}, "Phase: second = 'sqrt' must be 'instance' or 'class-balanced'"),
    (Phase, {"train": ()}, "Phase: train = () must be 'all' or 'heads' or a set of 'trunk'"),
    (Phase, {"train": ("head",)}, "Phase: train = ('head',): 'head' must be one of"),
    (Phase, {"batchnorm": "froze"}, "Phase: batchnorm = 'froze' must be 'trained' or 'adapted' or 'frozen'"),
    (Phase, {"views": ()}, "Phase: views = () must be a tuple of 'recipe', 'strong' and 'simclr'"),
    (Phase, {"views": "strong"}, "Phase: views = 'strong' must be a tuple"),
    (Phase, {"views": ("weak",)}, "Phase: views: a view = 'weak' must be 'recipe' or 'strong'"),
    (Phase, {"lr": 0}, "Phase: lr = 0 must be a number above 0"),
    (Phase, {"schedule": "cos"}, "Phase: schedule = 'cos' must be 'recipe' or 'cosine' or 'constant'"),
    (Architecture, {"share": "all"}, "Architecture: share = 'all' must be 'stage1' or 'nothing'"),
    (Architecture, {"shared_head": 1}, "Architecture: shared_head = 1 must be True or False"),
    (Phase, {"sampler": ["instance"]}, "Phase: sampler = ['instance'] must be"),
    (Phase, {"share": 0}, "Phase: share = 0 must be a number above 0"),
    (Phase, {"share": float("nan")}, "Phase: share = nan must be"),
    (Phase, {"share": float("inf")}, "Phase: share = inf must be"),
    (Phase, {"share": "1"}, "Phase: share = '1' must be"),
    (Phase, {"share": True}, "Phase: share = True must be"),
    (Phase, {"name": ""}, "Phase: name = '' must be a text"),
    (Phase, {"name": 3}, "Phase: name = 3 must be a text"),
    (Phase, {"reset_heads": "no"}, "Phase: reset_heads = 'no' must be True or False"),
    (Architecture, {"experts": 2.5}, "Architecture: experts = 2.5 must be a whole number of at least 1"),
    (Architecture, {"experts": 0}, "Architecture: experts = 0 must be"),
    (Architecture, {"experts": True}, "Architecture: experts = True must be"),
    (Architecture, {"experts": np.int64(3)}, "Architecture: experts = "),  # no JSON in the record
    (Architecture, {"experts": "3"}, "Architecture: experts = '3' must be"),
    (Architecture, {"head": "cosin"}, "Architecture: head = 'cosin' must be 'linear' or 'cosine'; did"),
    (Architecture, {"scale": 0}, "Architecture: scale = 0 must be a number above 0"),
    (Architecture, {"scale": -1.0}, "Architecture: scale = -1.0 must be"),
    (Architecture, {"reduced": 1}, "Architecture: reduced = 1 must be True or False"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "line"), WRONG)
def test_a_wrong_field_is_one_line_with_the_right_values(
    kind: type[Any], fields: dict[str, Any], line: str
) -> None:
    with pytest.raises(InputError) as caught:
        kind(**fields)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_right_fields_are_taken_as_they_are() -> None:
    phase = Phase("heads", 3, "heads", "class-balanced", True)
    assert (phase.share, phase.train) == (3, "heads")
    assert Phase(share=np.float64(0.5)).share == 0.5  # a float
    assert Architecture(3, "cosine", 16, True).experts == 3
