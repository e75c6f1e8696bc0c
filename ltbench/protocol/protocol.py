"""Protocol: everything that is the same for all methods, as validated, versioned data.

A protocol file states the data set, the long-tailed training set, the test label distributions,
the recipe and the views that test-time strategies share. :mod:`ltbench.protocol.file` reads it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ltbench.errors import InputError, nearest
from ltbench.names import check_name, parse_member, split_list
from ltbench.protocol.mix import Weights, read_mixes
from ltbench.protocol.seed_list import read_seeds
from ltbench.protocol.study import StudyPart
from ltbench.settings import check_ranges, convert, identity_of, read, setting

SMALLEST_CLASS, LARGEST = "smallest-class", "largest"
VALIDATION = "val"
CROP = "crop"
RESIZED = "resized"
LISTS = "lists"
"""The source whose images are files by the hundred thousand: opened one by one, never stored."""
LISTED = ("train", "test", "holdout")
FEATURES = "features"
"""The source that gives what a frozen encoder made of images, and no images."""
FROZEN = "frozen"
"""The backbone of such features: heads alone."""
_SQUARE = ("digits", "cifar10", "cifar100")
"""Sources whose images have the protocol's size already."""
FITS = (CROP, "pad", "squash")
SOURCE_ALIASES = {"folder": "image-folder"}
"""Other names of data sources."""
PROFILES = ("exponential", "step", "pareto", "counts", "all")


def read_subset(value: Any, where: str) -> tuple[str, ...]:
    """Class names, or class numbers as whole numbers or text; which of both: when they are met."""
    items = convert(value, tuple[Any, ...], where)
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | str) or item == "":
            raise InputError(f"{where} = {item!r} must be the name or number of a class")
    return tuple(map(str, items))


_LABEL = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def read_subsets(value: Any, where: str) -> dict[str, tuple[int | str, ...]]:
    """``{"odd": [1, 3], "pets": ["cat", "dog"]}``, or each list as text by commas.

    A list of whole numbers holds labels; any other, names of classes.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a table of names, each with a list of classes")
    found: dict[str, tuple[int | str, ...]] = {}
    for name, classes in value.items():
        items = read_subset(classes, f"{where}.{name}")
        numbers = all(_LABEL.fullmatch(item) for item in items)
        found[name] = tuple(map(int, items)) if numbers else items
    return found


def read_ensembles(value: Any, where: str) -> dict[str, tuple[str, ...]]:
    """``{"plain": ["ce", "2*balanced-softmax"]}``, or each list as text by commas."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a table of names, each with a list of methods")
    found = {}
    for name, members in value.items():
        check_name(name, f"{where}: ensemble")
        texts = split_list(members) if isinstance(members, str) else members
        listed = convert(texts, tuple[str, ...], f"{where}.{name}")
        if not listed or not all(listed):
            raise InputError(
                f"{where}.{name} must list methods: its list or a place in it is empty"
            )
        for member in listed:
            parse_member(member)
        found[name] = listed
    return found


def read_holdout(value: Any, where: str) -> float | str:
    """A share of the training set, or the word for the validation images that a source comes with."""
    if value == VALIDATION:
        return VALIDATION
    try:
        return float(convert(value, float, where))
    except InputError as error:
        raise InputError(f'{error}, or "{VALIDATION}"') from None


class _Checked:
    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class ListFile(_Checked):
    """A list of image files, ``path label`` a line (:mod:`ltbench.data.list_file`), and its checksums."""

    file: str
    sha256: str = setting("", help="of its text with LF as line ends")
    blob: str = setting("", help="git's object id of that text")
    lines: int | None = setting(None, low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, digits in (("sha256", 64), ("blob", 40)):
            value = getattr(self, name)
            if value and not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
                raise InputError(f"{name} = {value!r} must be {digits} digits of 0-9 and a-f")


@dataclass(frozen=True)
class EncoderClaim(_Checked):
    """What the folder of features must say of its encoder; empty: whatever it says."""

    name: str = setting("", help="as `timm:vit_base_patch16_224`; that of the folder's header")
    weights: str = setting("", help="`sha256:...` or a hub's revision; that of the folder's header")
    overlap: str = setting(
        "",
        later=True,
        help="what is known of classes here that the encoder was trained on; told under the tables",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "\n" in self.overlap:
            raise InputError("overlap must be one line")


@dataclass(frozen=True)
class DataConfig(_Checked):
    """Which images. ``mean`` and ``std`` are per channel in [0, 1]; absent: of the training set."""

    source: str
    classes: int = setting(low=2, help="of the source; data.subset takes some of them")
    image_size: int = setting(
        0, high=4096, help="pixels a side, at least 4; must be given, but for source features"
    )
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = setting(None, above=0)
    path: str = setting("", help="folder of a user's own images; relative to the protocol file")
    subset: tuple[str, ...] = setting(
        (),
        later=True,
        reader=read_subset,
        help="classes to train and test on, by name or number, in the order of their labels",
    )
    fit: str = setting(
        CROP,
        later=True,
        choices=FITS,
        help="how images of yours become squares: the middle one of the short side resized (crop), the "
        "long side resized and black added on both sides (pad), or both sides resized (squash)",
    )
    resize: int | None = setting(
        None,
        low=4,
        high=4096,
        later=True,
        help="of source lists: pixels of the short side before the middle square of `image_size` is cut; "
        "absent: `image_size`",
    )
    lists: dict[str, ListFile] = field(
        default_factory=dict,
        hash=False,
        metadata={
            "later": True,
            "help": "`[data.lists]` of source lists: `train`, `test` and perhaps `holdout`, each "
            "`{ file, sha256, blob, lines }`; [how](lists.md)",
        },
    )
    paths: dict[str, str] = field(
        default_factory=dict,
        hash=False,
        metadata={
            "later": True,
            "help": "`[data.paths]` of source lists: beginnings of listed paths, and what stands there "
            "in the folder of images; the first that fits counts",
        },
    )
    options: dict[str, Any] = field(
        default_factory=dict,
        hash=False,
        metadata={
            "later": True,
            "help": "`[data.options]`: settings of the source, as it types them",
        },
    )

    dim: int | None = setting(
        None,
        low=1,
        later=True,
        help="of source features: numbers of a feature; absent: as many as there are",
    )
    encoder: EncoderClaim = field(
        default_factory=EncoderClaim,
        metadata={
            "later": True,
            "help": "`[data.encoder]` of source features: what must have made them, see below",
        },
    )

    @property
    def used_classes(self) -> int:
        """How many classes are trained and tested: C of every array."""
        return len(self.subset) or self.classes

    def __post_init__(self) -> None:
        super().__post_init__()
        # Before anything compares or hashes it.
        object.__setattr__(self, "source", SOURCE_ALIASES.get(self.source, self.source))
        self._check_kind()
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value is not None and len(value) != 3:
                raise InputError(f"{name} must have three values, one per channel")
        if (self.mean is None) != (self.std is None):
            raise InputError("mean and std are given together or not at all")
        if self.fit != CROP and self.source == LISTS:
            raise InputError(f'fit = "{self.fit}": images of source "lists" are cropped')
        if self.fit != CROP and self.source in _SQUARE:
            raise InputError(
                f'fit = "{self.fit}" is for images of any size, as of image-folder, table and parquet; '
                f"those of {self.source} have their size"
            )
        self._check_lists()
        if self.subset:
            _check_different("subset", self.subset)
            if len(self.subset) < 2:
                raise InputError(f"subset = {list(self.subset)} must list at least two classes")

    def _check_kind(self) -> None:
        """Images have a size, features a length."""
        if self.source == FEATURES:
            of_images = {
                "image_size": self.image_size != 0,
                "mean": self.mean is not None,
                "std": self.std is not None,
                "fit": self.fit != CROP,
            }
            for name, given in of_images.items():
                if given:
                    raise InputError(f'{name} is of images; source "{FEATURES}" has dim alone')
            return
        if self.image_size == 0:
            raise InputError("lacks 'image_size'")
        if self.image_size < 4:
            raise InputError(f"image_size = {self.image_size} must be at least 4")
        for name, stated in (
            ("dim", self.dim is not None),
            ("encoder", self.encoder != EncoderClaim()),
        ):
            if stated:
                raise InputError(
                    f'{name} needs source = "{FEATURES}"; the source is "{self.source}"'
                )

    def _check_lists(self) -> None:
        if self.source != LISTS and (self.lists or self.paths or self.resize is not None):
            stated = "lists" if self.lists else "paths" if self.paths else "resize"
            raise InputError(f'{stated} needs source = "lists"; the source is "{self.source}"')
        for name in self.lists:
            if name not in LISTED:
                known = ", ".join(LISTED)
                raise InputError(f"lists has no {name!r} (it has: {known}){nearest(name, LISTED)}")
        if self.resize is not None and self.resize < self.image_size:
            raise InputError(
                f"resize = {self.resize} must be at least image_size = {self.image_size}: the square is "
                "cut from it"
            )


@dataclass(frozen=True)
class TrainConfig(_Checked):
    """The long-tailed training set: counts by a ``profile`` (equations:
    :mod:`ltbench.shift.train_profiles`), as listed in ``counts``, or the images as they are (``all``)."""

    profile: str = setting("exponential", choices=PROFILES)
    imbalance: float = setting(1.0, low=1, help="largest over smallest training class")
    max_count: int | None = setting(None, low=1, help="images of the largest class")
    class_order: str = setting(
        "label", choices=("label", "size"), help="which class is the head: class 0, or the largest"
    )
    split_seed: int = setting(
        0, low=0, high=2**32 - 1, help="which subset is drawn; 0 is the published one"
    )
    holdout: float | str = setting(
        0.0,
        low=0,
        high=0.5,
        reader=read_holdout,
        help='share of the training set held out; "val": the validation images of the source instead',
    )

    @property
    def holds_out(self) -> bool:
        """Whether there are labelled images beside training and test images."""
        return self.holdout == VALIDATION or self.holdout_share > 0

    @property
    def holdout_share(self) -> float:
        """Of the training images: 0 where validation images take their place."""
        return self.holdout if isinstance(self.holdout, float | int) else 0.0

    power: float = setting(
        6.0, low=0.1, high=100, later=True, help="of profile pareto: less is a heavier head"
    )
    counts: tuple[int, ...] = setting(
        (), low=1, later=True, help="of profile counts: training images of each class"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        drawn = self.imbalance != 1 or self.max_count is not None
        if self.profile == "all" and drawn:
            raise InputError(
                'profile "all" takes the images as they are; imbalance and max_count need '
                'profile = "exponential", "step" or "pareto"'
            )
        if self.profile == "counts" and (drawn or self.class_order != "label"):
            raise InputError(
                'profile "counts" takes its numbers from counts, in the order of the labels; '
                "imbalance, max_count and class_order mean nothing beside it"
            )
        if (self.profile == "counts") != bool(self.counts):
            raise InputError('counts = [...] and profile = "counts" are given together')
        if self.power != 6 and self.profile != "pareto":
            raise InputError(f'power = {self.power:g} needs profile = "pareto"')


@dataclass(frozen=True)
class GroupsConfig(_Checked):
    """Many-shot classes have more than ``many_above`` training images, few-shot fewer than ``few_below``."""

    many_above: int = setting(100, low=0)
    few_below: int = setting(20, low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.few_below > self.many_above + 1:
            raise InputError(
                f"few_below = {self.few_below} must not exceed many_above + 1 = {self.many_above + 1}"
            )


@dataclass(frozen=True)
class DirichletConfig(_Checked):
    """Test sets whose priors are drawn from symmetric Dirichlet distributions; none unless listed."""

    concentrations: tuple[float, ...] = setting((), low=0.05)  # below, a draw underflows to 0/0
    number: int = setting(3, low=1, high=1000, help="priors drawn for each concentration")
    seed: int = setting(0, low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_different("concentrations", self.concentrations)


@dataclass(frozen=True)
class PermutedConfig(_Checked):
    """Long-tailed test sets in a random order of the classes; none unless listed."""

    ratios: tuple[float, ...] = setting((), above=1)
    number: int = setting(3, low=1, high=1000, help="orders of the classes for each ratio")
    seed: int = setting(0, low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_different("ratios", self.ratios)


def _check_different(name: str, values: tuple[float, ...] | tuple[str, ...]) -> None:
    if len(set(values)) != len(values):
        raise InputError(f"{name} = {list(values)} must differ from one another")


@dataclass(frozen=True)
class TestConfig(_Checked):
    """The test label distributions; uniform is always one of them."""

    __test__ = False  # not a test class, whatever pytest makes of the name

    ratios: tuple[float, ...] = setting((), above=1)
    draws: int = setting(10, low=1, high=10_000)
    max_count: int | None = setting(None, low=1, help="images of the largest class")
    partial: bool = setting(True, help="many-only, medium-only and few-only test sets")
    subsets: dict[str, tuple[int | str, ...]] = field(
        default_factory=dict, metadata={"reader": read_subsets}
    )
    mixes: dict[str, Weights] = field(
        default_factory=dict, metadata={"reader": read_mixes, "later": True}
    )
    dirichlet: DirichletConfig = field(default_factory=DirichletConfig)
    permuted: PermutedConfig = field(default_factory=PermutedConfig)
    size: str = setting(
        SMALLEST_CLASS,
        choices=(SMALLEST_CLASS, LARGEST),
        later=True,
        help="images of the largest class of a shifted set: as many as the smallest class has, or as "
        "many as every class can give its share of",
    )
    drift: float = setting(
        50.0, above=1, help="head over tail where a drifting stream begins; the inverse at its end"
    )

    published: str = setting(
        "",
        later=True,
        help="file name of the published list of a shifted set, `{name}` standing for `forward50` and the "
        "like: draw 0 where that file is, and its class counts those of all draws "
        "([how](large-data.md#published-test-lists))",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_different("ratios", self.ratios)
        if self.published and "{name}" not in self.published:
            raise InputError(
                f"published = {self.published!r} must hold {{name}}, which stands for the name of a set: "
                '"ImageNet_LT_{name}.txt"'
            )
        if self.published and self.max_count is not None:
            raise InputError(
                "published lists have sizes of their own: published and max_count do not go together"
            )


_WHOLE_RANGE = (0.08, 1.0)
"""Of a resized crop where nothing is said, as in torchvision."""


def _crop_scale() -> Any:
    """The setting of training images and views alike."""
    return setting(
        _WHOLE_RANGE,
        above=0,
        high=1,
        later=True,
        help="of a resized crop: least and largest share of the image's area",
    )


def _check_span(name: str, span: tuple[float, ...]) -> None:
    if len(span) != 2 or span[0] > span[1]:
        raise InputError(f"{name} = {list(span)} must be two numbers: least, most")


@dataclass(frozen=True)
class Recipe(_Checked):
    """Optimiser, schedule, batch and augmentation: the same for every method.

    The learning rate rises linearly over ``max(1, min(warmup_epochs, epochs // 8))`` epochs and is
    multiplied by ``gamma`` at each of ``milestones`` (fractions of the epochs).
    """

    epochs: int = setting(low=1, high=1_000_000)
    batch_size: int = setting(low=1)
    lr: float = setting(above=0)
    momentum: float = setting(0.9, low=0, high=1)
    nesterov: bool = True
    weight_decay: float = setting(0.0, low=0)
    warmup_epochs: int = setting(5, low=0)
    milestones: tuple[float, ...] = setting((0.8, 0.9), above=0, high=1)
    gamma: float = setting(0.1, above=0, high=1)
    crop_padding: int = setting(0, low=0, help="zero padding in pixels before a random crop")
    flip: bool = setting(False, help="horizontal flip with probability 1/2")
    rotation: float = setting(0.0, low=0, high=180, help="degrees either way, nearest neighbour")
    augment: str = setting(
        "",
        choices=("", "autoaugment", "cutout", "autoaugment+cutout"),
        later=True,
        help="what follows crop, flip and rotation: AutoAugment's policy for CIFAR-10, then Cutout of "
        "one hole of half the side",
    )
    schedule: str = setting(
        "steps",
        choices=("steps", "cosine"),
        later=True,
        help="after the warm-up: falls at the milestones, or as lr (1 + cos(pi epoch / epochs)) / 2",
    )
    head_lr: float | None = setting(
        None, above=0, later=True, help="learning rate of the heads where it is another; absent: lr"
    )
    crop: str = setting(
        "padded",
        choices=("padded", RESIZED),
        later=True,
        help="of training images: as crop_padding says, or a random part of the image, of 3:4 to 4:3, "
        "resized to image_size (source lists)",
    )
    crop_scale: tuple[float, ...] = _crop_scale()
    jitter: tuple[float, ...] = setting(
        (),
        low=0,
        later=True,
        help="after a resized crop: strength of brightness, contrast, saturation and hue, in random order",
    )
    norm_batch: int | None = setting(
        None,
        low=1,
        later=True,
        help="images of a batch that BatchNorm sees together, in their order; running statistics follow "
        "the first such group; absent: the whole batch "
        "([why](large-data.md#several-gpus-in-one-trial))",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm_batch is not None and self.batch_size % self.norm_batch:
            raise InputError(
                f"norm_batch = {self.norm_batch} must divide batch_size = {self.batch_size}: a batch is "
                "cut into groups of it"
            )
        resized = self.crop == RESIZED
        _check_span("crop_scale", self.crop_scale)
        if self.jitter and (len(self.jitter) != 4 or self.jitter[3] > 0.5):
            raise InputError(
                f"jitter = {list(self.jitter)} must be four numbers: brightness, contrast, saturation "
                "and hue, the last at most 0.5"
            )
        if not resized and (self.jitter or self.crop_scale != _WHOLE_RANGE):
            raise InputError('jitter and crop_scale need crop = "resized"')
        if resized and (self.crop_padding or self.rotation or self.augment):
            key = next(k for k in ("crop_padding", "rotation", "augment") if getattr(self, k))
            raise InputError(f'{key} goes with crop = "padded", not with crop = "resized"')

    @property
    def uses_nesterov(self) -> bool:
        """Without momentum there is nothing to look ahead with."""
        return self.nesterov and self.momentum > 0


@dataclass(frozen=True)
class PretrainedConfig(_Checked):
    """Weights that the trunk and each expert's copy start from; heads start fresh."""

    file: str = setting(
        "", help="state dict, `.safetensors` or as torch saves it; relative to the protocol file"
    )
    sha256: str = setting("", help="of its bytes, 64 hexadecimal digits; part of the identity")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sha256", self.sha256.lower())
        if self.sha256 and not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise InputError(f"sha256 = {self.sha256!r} must be 64 hexadecimal digits")
        if self.sha256 and not self.file:
            raise InputError('sha256 needs file = "..."')


@dataclass(frozen=True)
class ModelConfig(_Checked):
    backbone: str = "resnet32"
    shared: int | None = setting(
        None,
        later=True,
        help="last stage that the experts share, of backbones that leave the choice; absent: the usual one",
    )
    pretrained: PretrainedConfig = field(
        default_factory=PretrainedConfig,
        metadata={"later": True, "help": "`[model.pretrained]`, see below"},
    )
    input: str = setting(
        "none",
        choices=("none", "centre", "standard", "l2"),
        later=True,
        help="of frozen features, by the training images: as they are, minus their mean, divided by their "
        "deviation, too, or each of length 1",
    )
    head: str = setting(
        "method",
        choices=("method", "linear", "cosine"),
        later=True,
        help="on frozen features: as each method asks, or this one for all",
    )
    scale: float | None = setting(
        None, above=0, later=True, help="of cosine heads on frozen features; absent: the method's"
    )
    head_bias: bool = setting(
        True,
        later=True,
        help="on frozen features: whether every head has a bias of each class, without weight decay",
    )
    adapter: float = setting(
        0.0,
        low=0,
        high=1,
        later=True,
        help="on frozen features: r of r W f + (1 - r) f before each head, W learned; 0: none",
    )
    init: str = setting(
        "random",
        choices=("random", "class-mean", "text"),
        later=True,
        help="of heads on frozen features: the normalised mean of each class's training images, or the "
        "folder's features of the class names",
    )

    @property
    def of_features(self) -> tuple[str, ...]:
        """Names of the settings stated here that mean something on frozen features alone."""
        usual = ModelConfig()
        names = ("input", "head", "scale", "head_bias", "adapter", "init")
        return tuple(name for name in names if getattr(self, name) != getattr(usual, name))

    def identity(self) -> dict[str, Any]:
        """What decides the network: of a file of weights its digest, not where it lies."""
        found = identity_of(self)
        if "pretrained" in found:
            found["pretrained"] = {"sha256": self.pretrained.sha256}
        return found


@dataclass(frozen=True)
class ViewsConfig(_Checked):
    """The stored pairs of augmented views that test-time strategies share."""

    pairs: int = setting(5, low=1, high=1000)
    seed: int = setting(0, low=0)
    precision: str = setting(
        "float32",
        choices=("float32", "bf16"),
        help="of the logits of the views, not of the clean ones",
        later=True,
    )
    crop_padding: int = setting(4, low=0)
    flip: bool = True
    brightness: float = setting(0.4, low=0, high=1)
    contrast: float = setting(0.4, low=0, high=1)
    saturation: float = setting(0.4, low=0, high=1)
    hue: float = setting(0.1, low=0, high=0.5)
    jitter_probability: float = setting(0.8, low=0, high=1)
    gray_probability: float = setting(0.2, low=0, high=1)
    blur_probability: float = setting(0.2, low=0, high=1)
    blur_sigma: tuple[float, ...] = setting((0.1, 2.0), low=0)
    crop: str = setting(
        "padded",
        choices=("padded", RESIZED),
        later=True,
        help="as crop_padding says, or a random part of the image, of 3:4 to 4:3, resized to image_size "
        "(source lists)",
    )
    crop_scale: tuple[float, ...] = _crop_scale()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_span("crop_scale", self.crop_scale)
        if self.crop != RESIZED and self.crop_scale != _WHOLE_RANGE:
            raise InputError('crop_scale needs crop = "resized"')
        if self.crop == RESIZED and self.crop_padding:
            raise InputError(
                f'crop_padding = {self.crop_padding} goes with crop = "padded"; with crop = "resized" '
                "crop_padding = 0"
            )
        _check_span("blur_sigma", self.blur_sigma)

    def logits_identity(self) -> dict[str, Any]:
        """What decides the logits of a pair; see :func:`ltbench.settings.identity_of`."""
        return {k: v for k, v in identity_of(self).items() if k != "pairs"}

    def images_identity(self) -> dict[str, Any]:
        """What decides the pixels of a pair; more pairs leave the first ones as they are."""
        return {k: v for k, v in self.logits_identity().items() if k != "precision"}


@dataclass(frozen=True)
class MethodOverrides:
    """What a protocol changes for one method: its hyper-parameters and its recipe."""

    hyper: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """One benchmark setting; ``name`` and ``version`` go with every score.

    ``variant`` names what was overridden of the file, empty for the protocol as it stands. ``study``
    lists what ``ltbench reproduce`` runs; no result depends on it. ``ensembles``: by name the methods
    of a row that is several networks; which they are is in the identity of each such row alone.
    """

    name: str
    version: str
    title: str
    data: DataConfig
    train: TrainConfig
    recipe: Recipe
    groups: GroupsConfig = field(default_factory=GroupsConfig)
    test: TestConfig = field(default_factory=TestConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    methods: dict[str, MethodOverrides] = field(default_factory=dict)
    strategies: dict[str, dict[str, Any]] = field(default_factory=dict)
    ensembles: dict[str, tuple[str, ...]] = field(
        default_factory=dict, metadata={"reader": read_ensembles}
    )
    seeds: tuple[int, ...] = setting((0,), reader=read_seeds)
    study: tuple[StudyPart, ...] = ()
    variant: str = ""
    origin: str = ""
    not_inherited: tuple[str, ...] = ()
    """Keys that the extended file states of its own images and this one not at all."""
    images_unlike: str = ""
    """The extended file, where its images are others."""
    backbone_code: str = ""
    """Digest of the code of a backbone that is a plugin; empty for what ltbench ships."""

    def facts(self) -> dict[str, str]:
        """The ``protocol`` block of a record."""
        facts = {key: getattr(self, key) for key in ("name", "version", "title", "variant")}
        return facts | {"version": self.version_of_code}

    @property
    def version_of_code(self) -> str:
        """``"1.0"``, or ``"1.0+tiny.1a2b3c4d"`` with a plugin's backbone: scores of two codes are never
        averaged."""
        code = f"+{self.model.backbone}.{self.backbone_code[:8]}" if self.backbone_code else ""
        return self.version + code

    def recipe_for(self, method: str) -> Recipe:
        """The recipe of ``method``: the protocol's, with what ``[methods.<name>.recipe]`` changes."""
        overrides = self.methods.get(method, MethodOverrides()).recipe
        values = {**dataclasses.asdict(self.recipe), **overrides}
        return read(Recipe, values, f"{self.name}: methods.{method}.recipe")
