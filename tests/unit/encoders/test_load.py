"""Encoders by name: found, told apart by their weights, refused in one line."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import densenet121, get_model

from ltbench.encoder import Preprocessing
from ltbench.encoders.encode import Encode
from ltbench.encoders.load import load_encoder
from ltbench.encoders.shipped.torchvision_networks import _quick, _without_last_layer
from ltbench.errors import ContractError, InputError, LtbenchError
from ltbench.registry import load_encoders

IMAGES = np.random.RandomState(1).randint(0, 256, (3, 3, 32, 32)).astype(np.uint8)
CPU = torch.device("cpu")
PLUGIN = '''
from torch import nn
from ltbench.encoder import Encoder, LoadedEncoder, Preprocessing

class Own(Encoder):
    """Pixels."""
    name, title = "own", "Pixels"

    def load(self, request):
        return {loaded}
'''


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    network = get_model("resnet18", weights=None, num_classes=7).eval()
    file = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(network.state_dict(), file)
    return network, file


def plugin(folder: Path, loaded: str) -> list[str]:
    file = folder / "own.py"
    file.write_text(PLUGIN.format(loaded=loaded))
    return [str(file)]


def test_shipped_encoders_are_found_and_none_is_broken() -> None:
    found = load_encoders()
    assert {"torchvision", "timm", "open_clip"} <= set(found.plugins)
    assert not found.broken
    assert not found.clashes


def test_a_network_of_torchvision_gives_what_its_last_layer_is_given(
    resnet: tuple[nn.Module, Path],
) -> None:
    network, file = resnet
    chosen = load_encoder("torchvision:resnet18", weights=file)
    assert chosen.loaded.weights == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert chosen.loaded.library[0] == "torchvision"
    made = chosen.loaded.preprocessing
    assert (made.resize, made.crop, made.interpolation) == (256, 224, "bilinear")
    given: list[Tensor] = []
    hook = network.get_submodule("fc").register_forward_pre_hook(lambda _, x: given.append(x[0]))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(images)
        hook.remove()
        found = chosen.loaded.network.eval()(images)
    assert found.shape == (2, 512)
    assert torch.equal(found, given[0])


def test_a_file_of_torch_save_gives_the_same_and_a_pickle_is_refused(
    resnet: tuple[nn.Module, Path], tmp_path: Path
) -> None:
    network, file = resnet
    torch.save(network.state_dict(), tmp_path / "a.pth")
    one, two = (
        load_encoder("torchvision:resnet18", weights=weights).loaded.network.state_dict()
        for weights in (file, tmp_path / "a.pth")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    torch.save(network, tmp_path / "whole.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps({"a": print}, protocol=2))
    for name in ("whole.pth", "b.pth"):
        with pytest.raises(InputError, match="cannot be read") as told:
            load_encoder("torchvision:resnet18", weights=tmp_path / name)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "member",
    [
        *("alexnet", "convnext_tiny", "efficientnet_b0", "mobilenet_v3_small"),
        *("shufflenet_v2_x0_5", "swin_t", "vit_b_32", "maxvit_t", "inception_v3", "googlenet"),
    ],
)
def test_every_kind_of_head_is_found(member: str) -> None:
    with torch.device("meta"):
        network = get_model(member, weights=None, **_quick(member))
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    _without_last_layer(network, member)
    size = 299 if member == "inception_v3" else 224
    features = network.eval()(torch.zeros(1, 3, size, size, device="meta"))
    assert features.shape == (1, last.in_features)


def test_the_older_names_of_published_densenets_are_known(tmp_path: Path) -> None:
    state = densenet121(weights=None).state_dict()
    file = tmp_path / "old.safetensors"
    old = {
        k.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in k else k: v
        for k, v in state.items()
    }
    assert set(old) != set(state)
    save_file(old, file)
    found = load_encoder("torchvision:densenet121", weights=file).loaded.network.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in found)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nonsense",), r"unknown encoder 'nonsense' \(known: .*timm"),
        (("torchvision",), r"which one\? Give torchvision:NAME"),
        (("torchvision:resnet19", "W"), r"no classification network 'resnet19'; did you mean"),
        (("torchvision:resnet18",), r"needs its weights: --weights FILE"),
        (("torchvision:resnet18", "absent.pth"), r"absent.pth cannot be read: No such file"),
        (("torchvision:resnet34", "W"), r"are not those of this network: the file lacks layer1.2"),
        (("torchvision:squeezenet1_0", "W"), r"ends with no linear layer"),
        (("torchvision:resnet18", "W", "R"), r"takes no --revision; give --weights"),
        (("timm:resnet18", "W", "R"), r"needs one of the two: --weights .* --revision"),
        (("timm:resnet18",), r"needs its weights: --weights .* --revision R, a commit"),
        (("open_clip:RN50", "W", "", "pooled"), r"--output pooled: open_clip has embedding, pre"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    arguments: tuple[str, ...], told: str, resnet: tuple[nn.Module, Path]
) -> None:
    name, weights, revision, output = (*arguments, *[""] * (4 - len(arguments)))
    file = resnet[1] if weights == "W" else Path(weights) if weights else None
    with pytest.raises(InputError, match=told) as found:
        load_encoder(name, weights=file, revision=revision, output=output)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("loaded", "told"),
    [
        ("3", r"load\(\) must return a LoadedEncoder, not int"),
        ("LoadedEncoder(3, Preprocessing())", r"network must be a torch.nn.Module"),
        ("1 / 0", r"'own' failed to load: ZeroDivisionError"),
        ("__import__('absent_library')", r"cannot import what it needs: No module named 'absent"),
    ],
)
def test_a_plugin_that_breaks_its_contract_is_one_line(
    loaded: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(LtbenchError, match=told):
        load_encoder("own", plugins=plugin(tmp_path, loaded))


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("nn.Identity()", r"gave \(3, 3, 32, 32\) for 3 images; expected \(B, D\)"),
        ("nn.Linear(3, 3)", r"failed on images of 32 pixels: RuntimeError"),
        ("nn.Sequential(nn.Flatten(), nn.Threshold(9, float('nan')))", r"gave NaN or infinity"),
        ("nn.Sequential(nn.Flatten(), nn.Threshold(9, 1e5))", r"gave 100000, beyond float16"),
    ],
)
def test_what_is_no_feature_is_one_line(network: str, told: str, tmp_path: Path) -> None:
    chosen = load_encoder(
        "own", plugins=plugin(tmp_path, f"LoadedEncoder({network}, Preprocessing())")
    )
    with pytest.raises(LtbenchError, match=told) as found:
        Encode(chosen, CPU)(IMAGES)
    assert isinstance(found.value, InputError | ContractError)
    assert "\n" not in str(found.value)


def test_features_do_not_depend_on_the_batch(resnet: tuple[nn.Module, Path]) -> None:
    chosen = load_encoder("torchvision:resnet18", weights=resnet[1])
    chosen.loaded.__dict__["preprocessing"] = Preprocessing(64, 64)
    one, two = Encode(chosen, CPU, 1)(IMAGES), Encode(chosen, CPU, 3)(IMAGES)
    assert one.shape == (3, 512)
    assert (one - two).abs().max() < 1e-4
    assert (one[0] - one[1]).abs().max() > 1e-3
