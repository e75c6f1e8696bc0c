"""Protocol files: what ships loads, what is wrong is refused in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ltbench import list_protocols, load_protocol
from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.overrides import parse_override
from ltbench.protocol.protocol import Protocol
from ltbench.protocol.seed_list import parse_seeds
from ltbench.registry import load_registries

MINIMAL = """
name = "mine"
version = "1.0"
title = "Mine"

[data]
source = "digits"
classes = 10
image_size = 8

[train]
imbalance = 5

[recipe]
epochs = 4
batch_size = 8
lr = 0.1
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str = "", file: str = "mine.toml", base: str = MINIMAL) -> str:
        path = tmp_path / file
        path.write_text(base + text, encoding="utf-8")
        return str(path)

    return write


# -- what ships ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_protocols())
def test_shipped_protocols_load_and_state_name_version_and_title(name: str) -> None:
    protocol = load_protocol_config(name)
    assert protocol.name == name
    assert protocol.version
    assert protocol.title
    assert protocol.variant == ""
    assert Path(protocol.origin).name == name.replace("-", "_") + ".toml"


@pytest.mark.parametrize("name", list_protocols())
def test_shipped_protocols_settle_known_methods_and_strategies(name: str) -> None:
    protocol, registries = load_protocol_config(name), load_registries()
    for method, overrides in protocol.methods.items():
        registries.methods.get(method).cls.hyper_type.from_mapping(overrides.hyper, method)
    for strategy, hyper in protocol.strategies.items():
        registries.strategies.get(strategy).cls.hyper_type.from_mapping(hyper, strategy)


def test_cifar100_is_the_published_recipe() -> None:
    protocol = load_protocol_config("cifar100-lt")
    recipe = protocol.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum) == (200, 128, 0.1, 0.9)
    assert (recipe.nesterov, recipe.weight_decay, recipe.warmup_epochs) == (True, 5e-4, 5)
    assert (recipe.milestones, recipe.gamma) == ((0.8, 0.9), 0.1)
    assert (recipe.crop_padding, recipe.flip, recipe.rotation) == (4, True, 15)
    assert protocol.seeds == (0, 1, 2, 3, 4)
    assert (protocol.train.imbalance, protocol.train.max_count, protocol.train.split_seed) == (
        100,
        500,
        0,
    )
    assert (protocol.test.ratios, protocol.test.draws) == ((2, 5, 10, 25, 50), 10)
    assert protocol.model.backbone == "resnet32"


def test_the_short_protocol_differs_by_its_epochs_only() -> None:
    full, short = load_protocol_config("cifar100-lt"), load_protocol_config("cifar100-lt-short")
    assert short.recipe == dataclasses.replace(full.recipe, epochs=30)
    same = ("data", "train", "groups", "test", "model", "views", "methods", "strategies", "seeds")
    for part in same:
        assert getattr(short, part) == getattr(full, part)
    assert short.name != full.name


def test_cifar10_trains_sade_at_its_authors_settings() -> None:
    protocol = load_protocol_config("cifar10-lt")
    assert protocol.methods["sade"].hyper == {"reduced": False}
    assert protocol.recipe_for("sade") == dataclasses.replace(protocol.recipe, lr=0.05)
    assert protocol.recipe_for("ce") == protocol.recipe
    assert (protocol.data.classes, protocol.train.max_count, protocol.test.max_count) == (
        10,
        5000,
        1000,
    )


def test_digits_settings() -> None:
    protocol = load_protocol_config("digits-lt")
    assert protocol.seeds == (0,)
    assert (protocol.train.imbalance, protocol.train.max_count) == (50, 100)
    assert (protocol.groups.many_above, protocol.groups.few_below) == (40, 10)
    assert (protocol.test.ratios, protocol.views.pairs) == ((2, 5, 10, 20), 5)
    views = protocol.views
    assert (views.flip, views.gray_probability, views.blur_probability) == (False, 0, 0)


# -- a user's own file ---------------------------------------------------------------------------


def test_a_minimal_file_gets_the_defaults(write: Write) -> None:
    path = write()
    protocol = load_protocol_config(path)
    assert protocol.name == "mine"
    assert protocol.origin == path
    assert protocol.seeds == (0,)
    assert protocol.recipe.momentum == 0.9
    assert protocol.groups.many_above == 100


def test_a_plugin_file_is_found_by_name(write: Write) -> None:
    path = write()
    assert load_protocol_config("mine", plugins=[path]).title == "Mine"


def test_extends_merges_tables_key_by_key(write: Write) -> None:
    write()
    child = write(
        'extends = "mine.toml"\nname = "child"\n[recipe]\nepochs = 9\n', "child.toml", base=""
    )
    protocol = load_protocol_config(child)
    assert (protocol.name, protocol.title) == ("child", "Mine")
    assert (protocol.recipe.epochs, protocol.recipe.batch_size) == (9, 8)


def test_extends_names_a_shipped_protocol(write: Write) -> None:
    path = write('extends = "digits-lt"\nname = "child"\n[train]\nimbalance = 10\n', base="")
    protocol = load_protocol_config(path)
    assert (protocol.train.imbalance, protocol.train.max_count) == (10, 100)


@pytest.mark.parametrize(("one", "two"), [("a.toml", "a.toml"), ("b.toml", "a.toml")])
def test_circular_extends_is_refused(write: Write, one: str, two: str) -> None:
    path = write(f'extends = "{one}"\n', "a.toml", base="")
    write(f'extends = "{two}"\n', "b.toml", base="")
    with pytest.raises(InputError, match="'extends' goes round in a circle"):
        load_protocol_config(path)


def test_extends_something_unknown_is_refused(write: Write) -> None:
    with pytest.raises(InputError, match=r"unknown protocol 'digit-lt'.*did you mean 'digits-lt'"):
        load_protocol_config(write('extends = "digit-lt"\n', base=""))


def test_a_data_path_is_relative_to_the_file(write: Write, tmp_path: Path) -> None:
    text = MINIMAL.replace('source = "digits"', 'source = "image-folder"\npath = "images"')
    assert load_protocol_config(write(text, base="")).data.path == str(tmp_path / "images")
    absolute = text.replace('"images"', '"/data/images"')
    assert load_protocol_config(write(absolute, base="")).data.path == "/data/images"


# -- wrong input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.imbalance", 0, "imbalance = 0.0 must be at least 1"),
        ("train.imbalance", -5, "imbalance = -5.0 must be at least 1"),
        ("train.imbalance", 0.5, "imbalance = 0.5 must be at least 1"),
        ("train.imbalance", "steep", "train.imbalance = 'steep' must be a number"),
        ("train.imbalance", "nan", "must be finite"),
        ("train.imbalanse", 5, "has no 'imbalanse'.*did you mean 'imbalance'"),
        ("train.profile", "steps", "must be one of: exponential, step, pareto, counts, all"),
        ("train.power", 2, 'power = 2 needs profile = "pareto"'),
        ("train.counts", "3,2", "train.counts lists 2 classes, there are 10"),
        ("train.counts", [1] * 9 + [0], "counts = 0 must be at least 1"),
        ("train.profile", "counts", r'counts = \[...\] and profile = "counts" are given together'),
        ("train.split_seed", 2**32, "must be at most 4294967295"),
        ("train.max_count", "1e2", "must be a whole number"),
        ("train.max_count", "1_000", "must be a whole number"),
        ("train.max_count", "9" * 30, "must be a whole number"),
        pytest.param("train.max_count", "9" * 5000, "must be a whole number", id="long text"),
        pytest.param("train.max_count", 10**5000, "must be a whole number", id="long number"),
        ("train.imbalance", "1_0", "must be a number"),
        ("test.draws", 10**9, "draws = 1000000000 must be at most 10000"),
        ("test.partial", "maybe", "must be true or false"),
        ("test.partial", [True], "must be true or false"),
        ("data.subset", "1", "must list at least two classes"),
        ("data.subset", "1,1", "must differ from one another"),
        ("data.subset", [1, 2.5], "must be the name or number of a class"),
        ("data.subset", "1,,2", "must be the name or number of a class"),
        ("seeds", 10**18, "the count must be at most 10,000"),
        ("seeds", 2.0, "must be a count"),
        ("seeds", True, "must be a count"),
        ("seeds", [2**63], "must be below 2"),
        ("seeds", None, "must be a count"),
        ("train.holdout", 0.6, "holdout = 0.6 must be at most 0.5"),
        ("train.max_count", 0, "max_count = 0 must be at least 1"),
        ("train.split_seed", -1, "must be at least 0"),
        ("test.ratios", "0", "ratios = 0.0 must be greater than 1"),
        ("test.ratios", [2, 1], "ratios = 1.0 must be greater than 1"),
        ("test.ratios", "2,2", "must differ from one another"),
        ("test.ratios", "two", "must be a number"),
        ("test.draws", 0, "draws = 0 must be at least 1"),
        ("recipe.epochs", 0, "epochs = 0 must be at least 1"),
        ("recipe.epochs", 2.5, "must be a whole number"),
        ("recipe.epochs", "many", "must be a whole number"),
        ("recipe.batch_size", 0, "batch_size = 0 must be at least 1"),
        ("recipe.lr", 0, "lr = 0.0 must be greater than 0"),
        ("recipe.learning_rate", 0.1, "recipe has no 'learning_rate'"),
        ("recipe.milestones", "0.5,1.5", "milestones = 1.5 must be at most 1"),
        ("recipe.nesterov", "perhaps", "must be true or false"),
        ("groups.few_below", 102, "few_below = 102 must not exceed many_above"),
        ("model.backbone", "vgg", r"unknown backbone 'vgg' \(known: frozen, resnet10, resnet14"),
        ("model.shared", "2", r"shared = 2 is not known for backbone 'resnet32'"),
        ("model.shared", "two", "model.shared = 'two' must be a whole number"),
        ("model.pretrained.sha256", "abc", "must be 64 hexadecimal digits"),
        ("model.pretrained.sha256", "0" * 64, r'sha256 needs file = "..."'),
        ("model.pretrained.file", "x.pth", "backbone 'resnet32' takes no pretrained weights"),
        ("data.classes", 1, "classes = 1 must be at least 2"),
        ("data.mean", "0.5,0.5", "mean must have three values"),
        ("data.mean", "0.5,0.5,0.5", "mean and std are given together"),
        ("views.pairs", 0, "pairs = 0 must be at least 1"),
        ("seeds", "0,0", "must differ from one another"),
        ("seeds", [1, 1], "must differ from one another"),
        ("seeds", [-1], "whole numbers of at least 0"),
        ("seeds", [], "whole numbers of at least 0"),
        ("seeds", "0", "the count must be at least 1"),
        ("seeds", "x", "must be a count"),
        ("name", "../x", "protocol name .* is not usable"),
        ("name", "CON", "is not usable"),
        ("name", "x" * 300, "is not usable"),
        ("variant", "v", "has no 'variant'"),
        ("origin", "o", "has no 'origin'"),
        ("recipie", 3, "has no 'recipie'.*did you mean 'recipe'"),
        ("recipe", 3, "'recipe' is a table; name one of its keys"),
        ("title.x", 3, "'title' is a value, not a table"),
        ("methods.sade", 3, "methods.sade must be a table"),
        ("methods.sade.recipe", 3, "methods.sade.recipe must be a table"),
        (
            "methods.sade.recipe.epoch",
            3,
            "methods.sade.recipe has no 'epoch'; did you mean 'epochs'",
        ),
        ("methods.sade.recipe.lr", 0, "methods.sade.recipe: lr = 0.0 must be greater than 0"),
        ("strategies.stability", 3, "stability must be a table"),
        ("test.subsets.uniform", "0,1", "taken by a standard test set"),
        ("test.subsets.forward9", "0,1", "taken by a standard test set"),
        ("test.subsets.many-only", "0,1", "taken by a standard test set"),
        ("test.subsets.A/B", "0,1", "is not usable"),
        ("test.subsets.mine", "0,10", "classes go from 0 to 9"),
        ("test.subsets.mine", "-1", "classes go from 0 to 9"),
        ("test.subsets.mine", "1,1", "must list different classes"),
        ("test.subsets.mine", [], "must list different classes"),
    ],
)
def test_wrong_values_are_refused_in_one_line(
    write: Write, key: str, value: Any, message: str
) -> None:
    path = write()
    with pytest.raises(InputError, match=message) as caught:
        load_protocol_config(path, {key: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is not readable TOML"),
        ("", "lacks 'name'"),
        (MINIMAL.replace("lr = 0.1", ""), "mine.recipe lacks 'lr'"),
        (MINIMAL.replace('version = "1.0"', ""), "mine lacks 'version'"),
        (MINIMAL.replace('"1.0"', "1.0"), "version = 1.0 must be text"),
        ("methods = 3\n" + MINIMAL, "mine.methods must be a table"),
        ("strategies = 3\n" + MINIMAL, "strategies must be a table"),
        ("seeds = [0, 0]\n" + MINIMAL, "must differ from one another"),
        ("extends = 5\n" + MINIMAL, "unknown protocol '5'"),
        ('study = "inherit"\n' + MINIMAL, "needs extends"),
        ('study = "inherit it"\n' + MINIMAL, "must be a table"),
        ("seeds = 0\n" + MINIMAL, "the count must be at least 1"),
        (
            MINIMAL + '[[study]]\nname = "a"\nmethods = ["ce"]\nseeds = 0',
            "count must be at least 1",
        ),
        (MINIMAL + '[[study]]\nname = "a"\nmethods = ["ce"]\nset = ["x=1", "x=2"]', "x twice"),
        (MINIMAL.replace("imbalance = 5", "imbalance = 5\nprofile = 'all'"), "as they are"),
        (MINIMAL.replace("imbalance = 5", "imbalance = 5\nprofile = 'counts'"), "mean nothing"),
    ],
)
def test_wrong_files_are_refused_in_one_line(write: Write, text: str, message: str) -> None:
    path = write(text, base="")
    with pytest.raises(InputError, match=message) as caught:
        load_protocol_config(path)
    assert "\n" not in str(caught.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.toml does not exist"):
        load_protocol_config(str(tmp_path / "gone.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not readable TOML"):
        load_protocol_config(str(tmp_path / "binary.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="does not exist"):
        load_protocol_config(str(tmp_path / "folder.toml"))


def test_an_unknown_protocol_suggests_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"unknown protocol 'cifar10-tl'.*did you mean 'cifar10-lt'"
    ):
        load_protocol_config("cifar10-tl")


# -- overrides and variants ----------------------------------------------------------------------


def load(*sets: str) -> Protocol:
    return load_protocol_config("digits-lt", sets)


def test_overrides_from_text_and_from_python_agree() -> None:
    text = load("recipe.epochs=40", "train.imbalance=10", "test.ratios=2,4")
    python = load_protocol(
        "digits-lt", recipe={"epochs": 40}, train={"imbalance": 10}, test={"ratios": [2, 4]}
    )
    dotted = load_protocol(
        "digits-lt", **{"recipe.epochs": 40, "train.imbalance": 10, "test.ratios": (2, 4)}
    )
    assert text == python == dotted
    assert (text.recipe.epochs, text.test.ratios) == (40, (2.0, 4.0))


@pytest.mark.parametrize("text", ["recipe.epochs", "=4", "recipe.epochs 4"])
def test_an_override_must_have_key_and_value(text: str) -> None:
    with pytest.raises(InputError, match=r"must look like recipe\.epochs=40"):
        parse_override(text)


def test_the_value_of_an_override_may_hold_an_equals_sign() -> None:
    assert parse_override(" title = a=b ") == ("title", "a=b")


@pytest.mark.parametrize(
    ("sets", "variant"),
    [
        ((), ""),
        (("recipe.epochs=40",), "recipe.epochs=40"),
        (("train.imbalance=10", "recipe.lr=0.1"), "recipe.lr=0.1;train.imbalance=10"),
        (("recipe.epochs=60",), ""),  # as it stands
        (("recipe.milestones=0.5,0.75",), "recipe.milestones=0.5,0.75"),
        (("train.holdout=0.1",), "train.holdout=0.1"),
        (("methods.sade.recipe.lr=0.5",), "methods.sade.recipe.lr=0.5"),
        (("methods.sade.tau=1",), "methods.sade.tau=1"),
        (("test.ratios=3",), ""),  # told by the names of the test sets
        (("seeds=3",), ""),
        (("strategies.stability.epochs=2",), "strategies.stability.epochs=2"),
        (("views.pairs=2",), "views.pairs=2"),
    ],
)
def test_the_variant_names_what_was_overridden(sets: tuple[str, ...], variant: str) -> None:
    assert load(*sets).variant == variant


def test_variants_of_different_numbers_have_different_names() -> None:
    close = [load(f"recipe.lr={value}").variant for value in ("0.12345678", "0.12345679")]
    assert close[0] != close[1]


def test_an_override_of_one_key_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"--set gives recipe.epochs twice, '4' and '5'"):
        load("recipe.epochs=4", "recipe.epochs=5")


# -- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        *(("5", (0, 1, 2, 3, 4)), ("0,3", (0, 3)), ("1", (0,)), (" 2 , 1 ", (2, 1))),
        *(("2-4", (2, 3, 4)), ("3-3", (3,)), ("0,5-6", (0, 5, 6))),
    ],
)
def test_seeds_are_a_count_or_a_list(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


def test_one_notation_of_seeds_has_one_meaning_everywhere(write: Write) -> None:
    part = '[[study]]\nname = "a"\nmethods = ["ce"]\nseeds = 3\n'
    file = load_protocol_config(write("seeds = 3\n" + MINIMAL + part, base=""))
    assert file.seeds == file.study[0].seeds == (0, 1, 2)
    assert load_protocol("digits-lt", seeds=3).seeds == load("seeds=3").seeds == (0, 1, 2)
    listed = load_protocol_config(write("seeds = [3]\n" + MINIMAL, base=""))
    assert listed.seeds == load_protocol("digits-lt", seeds=[3]).seeds == (3,)


@pytest.mark.parametrize(
    "text",
    [*("0", "-1", "", "a", "1.5", "1,1", "0,-1", "1,,2", "1,"), *("4-2", "2-", "1-2,2")],
)
def test_wrong_seeds_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="seeds") as caught:
        parse_seeds(text)
    assert "\n" not in str(caught.value)


def test_an_imbalance_asked_of_natural_images_draws_a_subset(tmp_path: Path) -> None:
    own = tmp_path / "birds.toml"
    own.write_text(
        'name = "birds"\nversion = "1"\ntitle = "Birds"\n'
        '[data]\nsource = "image-folder"\nclasses = 3\nimage_size = 8\npath = "birds"\n'
        '[train]\nprofile = "all"\n'
        "[recipe]\nepochs = 1\nbatch_size = 4\nlr = 0.1\n"
    )
    plain = load_protocol_config(str(own))
    assert (plain.train.profile, plain.train.imbalance) == ("all", 1)
    drawn = load_protocol_config(str(own), ["train.imbalance=50"])
    assert (drawn.train.profile, drawn.train.class_order) == ("exponential", "size")
    assert drawn.train.imbalance == 50
    assert drawn.variant == "train.imbalance=50"
    with pytest.raises(InputError, match="takes the images as they are"):
        load_protocol_config(str(own), ["train.max_count=5"])


@pytest.mark.parametrize("name", ["digits-lt", "published", "report"])
def test_a_file_may_not_take_a_name_that_means_something_else(tmp_path: Path, name: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(f'extends = "digits-lt"\nname = "{name}"\n[train]\nimbalance = 5\n')
    with pytest.raises(InputError, match=f"the name '{name}' is that of"):
        load_protocol_config(str(own))


def test_another_largest_test_class_is_a_variant() -> None:
    assert load_protocol_config("digits-lt", ["test.max_count=50"]).variant == "test.max_count=50"


# -- training sets and studies of files that build on others --------------------------------------


def test_a_study_is_inherited_only_on_request(write: Write) -> None:
    child = 'extends = "cifar100-lt"\nname = "mine"\n'
    assert load_protocol_config(write(child + "[train]\nimbalance = 50\n", base="")).study == ()
    asked = load_protocol_config(write(child + 'study = "inherit"\n', base=""))
    assert asked.study == load_protocol_config("cifar100-lt").study
    own = '[[study]]\nname = "mine"\nmethods = ["ce"]\n'
    assert [p.name for p in load_protocol_config(write(child + own, base="")).study] == ["mine"]
    assert load_protocol_config("cifar10-lt").study == asked.study


def test_a_profile_leaves_what_it_does_not_read_to_the_file_it_extends(write: Write) -> None:
    child = 'extends = "digits-lt"\nname = "mine"\n[train]\n'
    everything = load_protocol_config(write(child + 'profile = "all"\n', base="")).train
    assert (everything.imbalance, everything.max_count) == (1, None)
    listed = load_protocol_config(write(child + f"counts = {[9] * 10}\n", base="")).train
    assert (listed.profile, listed.counts) == ("counts", (9,) * 10)
    step = load_protocol_config(write(child + 'profile = "step"\n', base="")).train
    assert (step.imbalance, step.max_count) == (50, 100)
    with pytest.raises(InputError, match="mean nothing beside it"):
        load_protocol_config(write(child + f"imbalance = 3\ncounts = {[9] * 10}\n", base=""))


@pytest.mark.parametrize(
    ("sets", "variant"),
    [
        (["train.profile=step"], "train.profile=step"),
        (["train.profile=pareto", "train.power=3"], "train.power=3;train.profile=pareto"),
        (["train.counts=9,8,7,6,5,4,3,2,2,1"], "train.counts=9,8,7,6,5,4,3,2,2,1"),
        (["data.subset=two, one"], "data.subset=two,one"),
    ],
)
def test_variants_name_the_training_set(sets: list[str], variant: str) -> None:
    assert load(*sets).variant == variant
