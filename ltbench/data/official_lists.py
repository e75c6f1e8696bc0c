"""The lists that published results stand on, by git's object id, and where their images come from.

Git's object ids of the files in the repositories of SADE (commit cba11b8), LADE (5db5d13) and
classifier-balancing (f162ade), with LF as line ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.data.list_file import Listing


@dataclass(frozen=True)
class Images:
    """What the images of official lists are called, and how one gets them."""

    title: str
    remedy: str


IMAGENET = Images(
    "ImageNet-LT",
    "ILSVRC-2012 from image-net.org (registration): ILSVRC2012_img_train.tar into train/<wnid>/ and "
    "ILSVRC2012_img_val.tar sorted into val/<wnid>/",
)
PLACES = Images(
    "Places-LT",
    "Places365-Standard, small images of 256 x 256, from places2.csail.mit.edu: its training images into "
    "data_256/ and its validation images into val_256/",
)
INATURALIST = Images(
    "iNaturalist 2018",
    "train_val2018.tar.gz (MD5 b1c6952ce38f31868cc50ea72d066cc3) of github.com/visipedia/inat_comp, which "
    "unpacks into train_val2018/",
)


@dataclass(frozen=True)
class Official:
    """A published list; blob: git's id of its text; layout: of its paths where it is another than SADE's."""

    file: str
    images: Images
    blob: str
    layout: str = ""

    def __str__(self) -> str:
        layout = f", {self.layout}" if self.layout else ""
        return f"{self.file} of {self.images.title}{layout}"


def official(listing: Listing) -> Official | None:
    """The published list that ``listing`` is, byte by byte up to line ends; None where it is none."""
    return next((known for known in LISTS if known.blob == listing.blob), None)


def named(file: str) -> Official | None:
    """The published list that is called so, whatever it holds here."""
    return next((known for known in LISTS if known.file == file), None)


WITHOUT_FOLDERS = "validation images without class folders"
TRAIN_VAL = "folders train/ and val/"

# fmt: off
LISTS = (
    Official("ImageNet_LT_train.txt", IMAGENET, "a063f095fcd475db4cf8b0658c4b73955535bbf9"),
    Official("iNaturalist18_train.txt", INATURALIST, "4accdb7584d2f0a5106c40a33ed6afa392189bcc"),
    Official("ImageNet_LT_test.txt", IMAGENET, "76a2fb9749d6cd29e765cc4f8c270f2504131e2f"),
    Official("ImageNet_LT_uniform.txt", IMAGENET, "0640fec501c5b9b6f9bebe9e0ca7ed8cdd62a249"),
    Official("ImageNet_LT_val.txt", IMAGENET, "3ed3188b2f44829ce2dec1cc27040d8d40984088"),
    Official("ImageNet_LT_backward10.txt", IMAGENET, "63c375e196c7ce91e5a674eb4feb2d4d4561c3ef"),
    Official("ImageNet_LT_backward2.txt", IMAGENET, "86a3cdefc3a8f724022405458d2d92c753b6d150"),
    Official("ImageNet_LT_backward25.txt", IMAGENET, "1f00b7d93fdb8349c9449ae4cbe5324eeb4450f9"),
    Official("ImageNet_LT_backward5.txt", IMAGENET, "c1d0f1c2e1d68c857b98de71ff724d767263a5c3"),
    Official("ImageNet_LT_backward50.txt", IMAGENET, "3bb919f1383a5b442791a737bd55bcb7d3542556"),
    Official("ImageNet_LT_forward10.txt", IMAGENET, "ac2c2985ab6aef34207e5accdd51bd9ca5fbdc6b"),
    Official("ImageNet_LT_forward2.txt", IMAGENET, "13783ba7ca5df117aa70dd264d3da6a622f09653"),
    Official("ImageNet_LT_forward25.txt", IMAGENET, "54f55e5525ae8a925af556e6d619e7c180e1b0d2"),
    Official("ImageNet_LT_forward5.txt", IMAGENET, "0d395a972b6a3631d20ccf6ad924818695fc38d5"),
    Official("ImageNet_LT_forward50.txt", IMAGENET, "fd6b9017529a6d6663984c72f384efca22c7910e"),
    Official("Places_LT_test.txt", PLACES, "d43400ac9bc2275baa058456da40b20abb50b108"),
    Official("Places_LT_train.txt", PLACES, "1d608b558c25c271da75c06f1e5e3625a4ebcb79"),
    Official("Places_LT_uniform.txt", PLACES, "7621ce13834f7b0c6cc0b5b13e64d121d2ad60da"),
    Official("Places_LT_val.txt", PLACES, "89c29c0973328f77d7a77a8b580634ce20acdc11"),
    Official("Places_LT_backward10.txt", PLACES, "fe4b37c631c6ec1e6a69aa466c76488d3ec21833"),
    Official("Places_LT_backward2.txt", PLACES, "1d1a1a02739a6e3132835c07763df9c577a1ed2b"),
    Official("Places_LT_backward25.txt", PLACES, "55c2041f22b2af5f269faece007ac5d93f132d81"),
    Official("Places_LT_backward5.txt", PLACES, "ed8f892800491aa98eaa71e8fbc02d10c241e0f1"),
    Official("Places_LT_backward50.txt", PLACES, "412501c8d0c23ac7a934a24628c37b3b9f909a05"),
    Official("Places_LT_forward10.txt", PLACES, "792197a817dc2de4e26e3d86b7f192688fb51eb6"),
    Official("Places_LT_forward2.txt", PLACES, "e0a92a6305c3399bcd939c570c215b6d8080c906"),
    Official("Places_LT_forward25.txt", PLACES, "a405071643619f52312da7b10f8bee0d0d3143af"),
    Official("Places_LT_forward5.txt", PLACES, "afb9d3155aa0a112fa0e3b8562bbfb993ecac510"),
    Official("Places_LT_forward50.txt", PLACES, "c4bb41c41922de6517a81be5418b0f609a5dcbe9"),
    Official("iNaturalist18_uniform.txt", INATURALIST, "55f2cc07d5aa05568207a18fd054ee66d4b62657"),
    Official("iNaturalist18_val.txt", INATURALIST, "4c23900857fd0f5adcd4cc0dffef345039eeb05f"),
    Official("iNaturalist18_backward2.txt", INATURALIST, "a9ad5c9aa87b6e9953521b867e02228c9322f3a8"),
    Official("iNaturalist18_backward3.txt", INATURALIST, "90153d693619162cbbb94061eed7261c61ff2a60"),
    Official("iNaturalist18_forward2.txt", INATURALIST, "f560c7d4952703c749183e20cb9c6730ee06befa"),
    Official("iNaturalist18_forward3.txt", INATURALIST, "d02d9c6f718257d7190b54dc5754df0668851fe4"),
    Official("ImageNet_LT_test.txt", IMAGENET, "0b447ac5396339be4de1a91cb5b2b8cc7c73fb4b", WITHOUT_FOLDERS),
    Official("Places_LT_test.txt", PLACES, "e732e58b8aa718a2c1c11933375f5710652c2b93", TRAIN_VAL),
    Official("Places_LT_train.txt", PLACES, "6392252f8ae867bc8a5e841cc1b29e5b8ef4b636", TRAIN_VAL),
    Official("Places_LT_val.txt", PLACES, "b93a2ca58ccb7f3b671c176f395a70bf52c95533", TRAIN_VAL),
)
# fmt: on
