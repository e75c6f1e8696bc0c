"""What a protocol of other images does not take over from the file that it extends."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.contract.protocols import ProtocolCase, other_images_have_their_own_settings
from ltbench.contract.unmet import Unmet
from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.registry import load_registries

OWN = 'extends = "cifar10-lt"\nname = "own"\n'
DATA = '[data]\nsource = "image-folder"\npath = "own"\nclasses = 2\nimage_size = 16\n'


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own.toml"


def test_constants_and_thresholds_of_another_source_stay_there(own: Path) -> None:
    own.write_text(OWN + DATA)
    found = load_protocol_config(str(own))
    assert (found.data.mean, found.data.std) == (None, None)
    left = ("data.mean", "data.std", "groups.many_above", "groups.few_below")
    assert found.not_inherited == left
    assert found.images_unlike == "cifar10-lt"
    assert found.recipe == load_protocol_config("cifar10-lt").recipe
    with pytest.raises(Unmet, match=r"measured; groups.many_above: 100 is the default"):
        other_images_have_their_own_settings(ProtocolCase(str(own), load_registries()))


def test_what_the_file_states_itself_is_its_own(own: Path) -> None:
    stated = (
        "mean = [0.1, 0.1, 0.1]\nstd = [0.2, 0.2, 0.2]\n[groups]\nmany_above = 9\nfew_below = 3\n"
    )
    own.write_text(OWN + DATA + stated)
    found = load_protocol_config(str(own))
    assert found.not_inherited == ()
    assert (found.data.mean, found.groups.many_above) == ((0.1, 0.1, 0.1), 9)
    other_images_have_their_own_settings(ProtocolCase(str(own), load_registries()))


def test_a_missing_image_size_says_why(own: Path) -> None:
    own.write_text(OWN + DATA.replace("image_size = 16\n", ""))
    with pytest.raises(
        InputError, match=r"lacks 'image_size', .* cifar10-lt: its images are others"
    ):
        load_protocol_config(str(own))


def test_ours_keep_what_they_have() -> None:
    for name in ("cifar10-lt", "cifar100-lt-short"):
        found = load_protocol_config(name)
        assert found.not_inherited == ()
        assert found.data.mean is not None
        assert (found.data.image_size, found.groups.many_above, found.groups.few_below) == (
            *(32, 100),
            20,
        )


def test_the_same_images_in_a_file_beside_it_keep_everything(own: Path) -> None:
    mean = "mean = [0.1, 0.1, 0.1]\nstd = [0.2, 0.2, 0.2]\n"
    own.write_text(OWN + DATA + mean)
    child = own.parent / "child.toml"
    child.write_text('extends = "own.toml"\nname = "child"\n[data]\npath = "./own"\n')
    assert load_protocol_config(str(child)).data.mean == (0.1, 0.1, 0.1)
    child.write_text('extends = "own.toml"\nname = "child"\n[data]\npath = "other"\n')
    found = load_protocol_config(str(child))
    assert (found.data.mean, found.data.image_size) == (None, 16)


def test_another_source_on_the_command_line_is_another_source_too() -> None:
    sets = ["data.source=image-folder", "data.classes=2", "data.image_size=16"]
    assert load_protocol_config("cifar10-lt", sets).data.mean is None


def test_a_key_is_unset(own: Path) -> None:
    own.write_text('unset = ["test.max_count", "data.mean", "data.std"]\n' + OWN)
    found = load_protocol_config(str(own))
    assert (found.test.max_count, found.data.mean, found.train.max_count) == (None, None, 5000)
    own.write_text('unset = ["test.max_cuont"]\n' + OWN)
    with pytest.raises(InputError, match=r"unset lists 'test.max_cuont', which"):
        load_protocol_config(str(own))
    own.write_text('unset = "test.max_count"\n' + OWN)
    with pytest.raises(InputError, match=r"unset must list keys"):
        load_protocol_config(str(own))
    own.write_text('unset = ["seeds"]\nname = "own"\n')
    with pytest.raises(InputError, match=r"unset needs extends"):
        load_protocol_config(str(own))
