"""Sets that torchvision knows by name: where each lies below its ``root``, and how it is split.

One class, one set; another is a few lines here, or a source of your own (`ltbench new source`). They
are read from torchvision's own files, and by torchvision only downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ltbench.data.flowers102_names import NAMES
from ltbench.data.torchvision_files import (
    Listed,
    list_aircraft,
    list_dtd,
    list_flowers102,
    list_food101,
    list_gtsrb,
    read_idx_pair,
    read_svhn,
    read_usps,
)
from ltbench.data.torchvision_set import ArraySet, FolderSet, ListedSet, TrainSplit
from ltbench.method import NoHyper
from ltbench.settings import setting

_BY_TRAIN: tuple[dict[str, Any], ...] = ({"train": True}, {"train": False})
_ON_PAGE = "see its page"


class _Mnist(ArraySet):
    """60,000 + 10,000 grey images of 28 x 28 pixels as IDX files."""

    files = (
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    )
    needed = (*files[0], *files[1])
    read_split = staticmethod(read_idx_pair)
    splits = _BY_TRAIN


class Mnist(_Mnist):
    """Handwritten digits (LeCun et al. 1998): 70,000 grey images of 28 x 28 pixels, ten classes."""

    name, title = "torchvision:MNIST", "MNIST"
    licence = _ON_PAGE
    url = "http://yann.lecun.com/exdb/mnist/"
    below = "MNIST/raw"
    expects = "MNIST/raw/train-images-idx3-ubyte and the three other files"
    names = (
        *("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four"),
        *("5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine"),
    )


class FashionMnist(_Mnist):
    """Articles of clothing (Xiao et al. 2017): 70,000 grey images of 28 x 28 pixels, ten classes."""

    name, title, licence = "torchvision:FashionMNIST", "Fashion-MNIST", "MIT"
    url = "https://github.com/zalandoresearch/fashion-mnist"
    below = "FashionMNIST/raw"
    expects = "FashionMNIST/raw/train-images-idx3-ubyte and the three other files"
    names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


class Kmnist(_Mnist):
    """Cursive Japanese characters (Clanuwat et al. 2018): 70,000 grey images of 28 x 28, ten classes."""

    name, title, licence = "torchvision:KMNIST", "Kuzushiji-MNIST", "CC BY-SA 4.0"
    url = "http://codh.rois.ac.jp/kmnist/"
    below = "KMNIST/raw"
    expects = "KMNIST/raw/train-images-idx3-ubyte and the three other files"
    names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


class Usps(ArraySet):
    """Handwritten digits of envelopes (Hull 1994): 9,298 grey images of 16 x 16 pixels, ten classes."""

    name, title, licence = "torchvision:USPS", "USPS", _ON_PAGE
    url = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps"
    below = "."
    files = (("usps.bz2",), ("usps.t.bz2",))
    needed = ("usps.bz2", "usps.t.bz2")
    expects = "usps.bz2 and usps.t.bz2"
    read_split = staticmethod(read_usps)
    splits = _BY_TRAIN


class Svhn(ArraySet):
    """House numbers (Netzer et al. 2011): 99,289 images of 32 x 32 pixels, ten classes; `extra` not read."""

    name, title, licence = "torchvision:SVHN", "SVHN", "for non-commercial use only"
    url = "http://ufldl.stanford.edu/housenumbers/"
    below = "."
    files = (("train_32x32.mat",), ("test_32x32.mat",))
    needed = ("train_32x32.mat", "test_32x32.mat")
    expects = "train_32x32.mat and test_32x32.mat"
    read_split = staticmethod(read_svhn)


class EuroSat(FolderSet):
    """Land use from satellites (Helber et al. 2019): 27,000 images of 64 x 64 pixels, ten classes.

    It has no split: `test_per_class` images of each class are test images.
    """

    name, title, licence = "torchvision:EuroSAT", "EuroSAT", "MIT"
    url = "https://github.com/phelber/EuroSAT"
    below, needed, expects = "eurosat", ("2750",), "eurosat/2750/<class>/*"


class Food101(ListedSet[NoHyper]):
    """Dishes (Bossard et al. 2014): 101,000 photographs, 101 classes."""

    name, title, licence = "torchvision:Food101", "Food-101", _ON_PAGE
    url = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
    below, needed = "food-101", ("meta", "images")
    expects = "food-101/meta/*.json and food-101/images/<class>/*"

    def listed(self, base: Path, options: NoHyper) -> Listed:
        return list_food101(base)


class Flowers102(ListedSet[TrainSplit]):
    """Flowers (Nilsback and Zisserman 2008): 8,189 photographs, 102 classes."""

    name, title, licence = "torchvision:Flowers102", "Oxford 102 Flowers", _ON_PAGE
    url = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
    hyper_type = TrainSplit
    below, needed = "flowers-102", ("jpg", "imagelabels.mat", "setid.mat")
    expects = "flowers-102/jpg/*, imagelabels.mat and setid.mat"
    splits = ({"split": "train"}, {"split": "val"}, {"split": "test"})

    def listed(self, base: Path, options: TrainSplit) -> Listed:
        return list_flowers102(base, NAMES)


class Gtsrb(ListedSet[NoHyper]):
    """Traffic signs (Stallkamp et al. 2012): 39,270 images of many sizes, 43 numbered classes."""

    name, title, licence = "torchvision:GTSRB", "GTSRB", _ON_PAGE
    url = "https://benchmark.ini.rub.de/gtsrb_news.html"
    below, needed = "gtsrb", ("GTSRB/Training", "GTSRB/Final_Test/Images", "GT-final_test.csv")
    expects = "gtsrb/GTSRB/Training/<class>/*.ppm, gtsrb/GTSRB/Final_Test/Images and the test's CSV"

    def listed(self, base: Path, options: NoHyper) -> Listed:
        return list_gtsrb(base)


@dataclass(frozen=True)
class DtdOptions(TrainSplit):
    partition: int = setting(1, low=1, high=10, help="which of the ten splits")


class Dtd(ListedSet[DtdOptions]):
    """Textures (Cimpoi et al. 2014): 5,640 photographs, 47 classes, ten splits."""

    name, title, licence = "torchvision:DTD", "Describable Textures", "for research purposes"
    url = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"
    hyper_type = DtdOptions
    below, needed = "dtd", ("dtd/labels", "dtd/images")
    expects = "dtd/dtd/labels/*.txt and dtd/dtd/images/<class>/*"
    splits = ({"split": "train"},)

    def listed(self, base: Path, options: DtdOptions) -> Listed:
        return list_dtd(base, options.partition)


@dataclass(frozen=True)
class AircraftOptions(TrainSplit):
    level: str = setting(
        "variant", choices=("variant", "family", "manufacturer"), help="what a class is"
    )


class FgvcAircraft(ListedSet[AircraftOptions]):
    """Aircraft (Maji et al. 2013): 10,000 photographs, 100 variants, 70 families or 30 manufacturers.

    Read with the copyright banner at the foot of each image, as torchvision reads them.
    """

    name, title = "torchvision:FGVCAircraft", "FGVC-Aircraft"
    licence = "for non-commercial research purposes only"
    url = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
    hyper_type = AircraftOptions
    below, needed = "fgvc-aircraft-2013b", ("data/variants.txt", "data/images")
    expects = "fgvc-aircraft-2013b/data/*.txt and fgvc-aircraft-2013b/data/images/*.jpg"
    splits: ClassVar[tuple[dict[str, Any], ...]] = ({"split": "train"},)

    def listed(self, base: Path, options: AircraftOptions) -> Listed:
        return list_aircraft(base, options.level)
