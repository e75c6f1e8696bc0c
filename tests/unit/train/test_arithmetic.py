"""TF32 is what a trial says it is in training, and never in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltbench.errors import InputError
from ltbench.train.arithmetic import IEEE, stored_precision, tf32, tf32_flags
from ltbench.train.infer import Inference
from ltbench.train.loop import Hooks, TrainingJob, cuda_facts, train


@pytest.fixture(params=["new", "old"])
def flags(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's default flags in either interface."""
    if request.param == "new":
        cudnn = SimpleNamespace(enabled=True, conv=SimpleNamespace(fp32_precision="tf32"))
        matmul = SimpleNamespace(fp32_precision="none")
    else:
        cudnn = SimpleNamespace(enabled=True, allow_tf32=True)
        matmul = SimpleNamespace(allow_tf32=False)
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)


DEFAULT = {"convolutions": True, "matrix_products": False}
NEVER = {"convolutions": False, "matrix_products": False}


def test_flags_are_set_within_and_restored(flags: None) -> None:
    assert tf32_flags() == DEFAULT
    with tf32(convolutions=False, matrix_products=True):
        assert tf32_flags() == {"convolutions": False, "matrix_products": True}
    assert tf32_flags() == DEFAULT


def test_logits_and_features_are_computed_without(flags: None) -> None:
    seen: list[dict[str, bool]] = []

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return self.with_features(x)[0]

        def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(tf32_flags())
            return x.mean((2, 3))[:, None], x.mean((2, 3))[:, None]

    inference = Inference(Net(), torch.zeros(3), torch.ones(3), torch.device("cpu"))
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8).numpy()
    inference(images.__getitem__, 2)
    inference.features(images.__getitem__, 2)
    assert seen == [NEVER, NEVER]
    assert tf32_flags() == DEFAULT


@pytest.mark.parametrize(("precision", "expected"), [("float32", DEFAULT), (IEEE, NEVER)])
def test_training_has_what_its_precision_says(
    make_job: Callable[..., TrainingJob],
    toy: Any,
    flags: None,
    precision: str,
    expected: dict[str, bool],
) -> None:
    seen: list[dict[str, bool]] = []

    def look(logits: Tensor, targets: Tensor, progress: float, rng: Any) -> Tensor:
        seen.append(tf32_flags())
        return logits.square().mean()

    toy.replace = look
    train(make_job(toy, epochs=1, precision=precision), Hooks(), {})
    assert seen == [expected] * 3


@pytest.mark.parametrize(
    ("asked", "kind", "stored"),
    [
        ("default", "cpu", "float32"),
        ("default", "cuda", "float32"),  # as the published trials on a GPU
        ("float32", "cpu", "float32"),
        ("float32", "cuda", IEEE),
        ("tf32", "cuda", "float32"),
        ("bf16", "cuda", "bf16"),
        (IEEE, "cpu", IEEE),
    ],
)
def test_what_is_asked_for_and_what_is_stored(asked: str, kind: str, stored: str) -> None:
    assert stored_precision(asked, kind) == stored


def test_tf32_needs_a_gpu_of_nvidia() -> None:
    with pytest.raises(InputError, match="precision tf32 needs a CUDA device; this run uses cpu"):
        stored_precision("tf32", "cpu")


def test_a_gpu_is_told_with_its_arithmetic() -> None:
    """With this machine's own PyTorch, whatever interface it has."""
    facts = cuda_facts()
    assert set(facts) == {"tf32", "cudnn", "deterministic"}
    assert set(facts["tf32"]) == set(DEFAULT)
    assert facts["deterministic"] is False
