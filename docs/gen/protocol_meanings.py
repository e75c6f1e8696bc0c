"""What keys of a protocol file mean where the field itself has no help text."""

from __future__ import annotations

MEANINGS: dict[str, dict[str, str]] = {
    "": {
        "name": "in every record and table: 1 to 64 of a-z, 0-9, `-`, `_` and `.`; that of no other protocol",
        "version": "goes with every score; raised when the rules change",
        "title": "as tables show it",
        "methods": "`[methods.NAME]`: hyper-parameters of one method; `[methods.NAME.recipe]`: its recipe",
        "strategies": "`[strategies.NAME]`: settings of one strategy",
        "seeds": "a count (5 is 0 to 4) or a list",
        "ensembles": "`[ensembles]`: name to methods whose networks predict together; `2*ce` counts two",
        "study": '`[[study]]` tables, see below; or `"inherit"` beside `extends`',
    },
    "data": {
        "source": "`digits`, `cifar10`, `cifar100`, `parquet`, `image-folder` (or `folder`), `table`, "
        "`torchvision:FashionMNIST` and the like ([which](own-images.md#published-sets-by-name)), "
        "[`lists`](lists.md), `features`, or [one of yours](plugins/source.md)",
        "mean": "per channel, in [0, 1]; absent: of the training images",
        "std": "likewise",
    },
    "train": {"profile": "how counts fall from class to class"},
    "groups": {
        "many_above": "many-shot classes have more training images than this",
        "few_below": "few-shot classes have fewer",
    },
    "test": {
        "ratios": "largest over smallest class of the forward and backward test sets",
        "draws": "how often every shifted test set is drawn",
        "subsets": "`[test.subsets]`: name to numbers or names of classes, a uniform test set over these",
        "mixes": "`[test.mixes]`: name to shares or counts of classes by name, or to a CSV file; see above",
        "dirichlet": "`[test.dirichlet]`, see below",
        "permuted": "`[test.permuted]`, see below",
    },
    "test.dirichlet": {
        "concentrations": "1: all priors equally likely; less: a few classes dominate",
        "seed": "of the priors",
    },
    "test.permuted": {
        "ratios": "largest over smallest class",
        "seed": "of the orders",
    },
    "model": {
        "backbone": "`resnet8` to `resnet32` for small images; `resnet10`, `resnet50`, `resnext50_32x4d`, "
        "`resnet152` for large ones; `frozen` for source features; or [one of yours](plugins/backbone.md)"
    },
    "recipe": {
        "epochs": "of the whole training, all phases together",
        "batch_size": "images",
        "lr": "highest learning rate of SGD",
        "momentum": "of SGD",
        "nesterov": "Nesterov's momentum",
        "weight_decay": "of SGD",
        "warmup_epochs": "at most; see above",
        "milestones": "fractions of the epochs at which the learning rate falls",
        "gamma": "what the learning rate is multiplied by there",
    },
    "views": {
        "pairs": "how many pairs of each test image are stored",
        "seed": "of the augmentation",
        "crop_padding": "zero padding in pixels before a random crop",
        "flip": "horizontal flip with probability 1/2",
        "brightness": "largest change of the factor either way",
        "contrast": "likewise",
        "saturation": "likewise",
        "hue": "largest turn either way, 1 a full circle",
        "jitter_probability": "of changing colours at all",
        "gray_probability": "of making an image grey",
        "blur_probability": "of a Gaussian blur",
        "blur_sigma": "its least and largest standard deviation, in pixels",
    },
    "[study]": {
        "name": "of the part, for `--parts`",
        "methods": "rows, as for `--methods`",
        "set": "overrides, as for `--set`",
        "seeds": "a count or a list; absent: the protocol's",
    },
}
