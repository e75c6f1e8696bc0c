"""``python -m benchmarks.gpu`` on a CPU: what needs no GPU runs, the rest is named; no time is asserted."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.zygote import started

pytestmark = pytest.mark.usefixtures("importable_benchmarks")


@pytest.fixture(scope="module")
def found(importable_benchmarks: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from benchmarks.gpu import together
    from benchmarks.gpu.__main__ import main

    path = tmp_path_factory.mktemp("gpu") / "gpu.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "subprocess", SimpleNamespace(Popen=started))
        assert main(["--tiny", "--device", "cpu", "--output", str(path)]) == 0
    written: dict[str, Any] = json.loads(path.read_text())
    return written


def test_every_case_is_measured_or_named_with_a_reason(found: dict[str, Any]) -> None:
    from benchmarks.gpu.cases import tiny_cases

    names = {case.name for case in tiny_cases()}
    assert set(found["rates"]) | (names & set(found["skipped"])) == names
    assert {"ce plain float32", "sade plain float32", "sade grouped float32"} <= set(found["rates"])
    assert found["skipped"]["sade graph float32"] == "it needs a CUDA device"
    assert found["skipped"]["ce compile float32"] == "--tiny compiles nothing"
    assert not [why for why in found["skipped"].values() if "failed" in why]


def test_trials_side_by_side_are_the_same_training_as_one_alone(found: dict[str, Any]) -> None:
    beside = found["rates"]["ce plain float32, 2 as processes"]["each"]
    threads = found["rates"]["sade plain float32, 2 as streams"]["each"]
    assert len(beside) == len(threads) == 2
    alone = {name: found["rates"][f"{name} plain float32"]["each"][0] for name in ("ce", "sade")}
    assert beside[0]["first_loss"] == pytest.approx(alone["ce"]["first_loss"], rel=1e-6)
    assert threads[0]["first_loss"] == pytest.approx(alone["sade"]["first_loss"], rel=1e-6)
    assert threads[1]["first_loss"] != threads[0]["first_loss"]  # of another seed
    together = sum(each["images_per_second"] for each in threads)
    total = found["rates"]["sade plain float32, 2 as streams"]["images_per_second"]
    assert total == pytest.approx(together, abs=0.11)


def test_shares_are_the_counted_work_over_the_measured_limits(found: dict[str, Any]) -> None:
    counted, limits = found["counted_per_image"]["sade"], found["limits"]
    rate = found["rates"]["sade plain float32"]
    speed = rate["images_per_second"]
    expected = 100 * speed * counted["operations"] / (1e9 * limits["GFLOP/s float32"])
    assert rate["arithmetic_percent"] == pytest.approx(expected, abs=0.01)
    expected = 100 * speed * counted["bytes float32"] / (1e9 * limits["GB/s"])
    assert rate["bandwidth_percent"] == pytest.approx(expected, abs=0.01)
    assert counted["bytes bf16"] * 2 == counted["bytes float32"]


def test_a_profile_has_every_convolution_of_a_step(found: dict[str, Any]) -> None:
    profile = found["profiles"]["ce plain float32"]
    assert profile["counted"] == "operators"
    assert profile["per_step"]["convolution"] >= 2 * 31  # 31 of them, forward and backward
    assert profile["per_step"]["optimiser"] >= 1
    assert sum(profile["us_per_step"].values()) == pytest.approx(
        profile["total_us_per_step"], abs=1
    )


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (
            "cutlass__5x_cudnn::Kernel<cutlass_tensorop_s1688fprop_optimized_tf32_64x64>",
            "convolution",
        ),
        ("sm80_xmma_wgrad_implicit_gemm_indexed_tf32f32_nhwc", "convolution"),
        ("void cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, int, 512>", "norm"),
        ("void cudnn::ops::nchwToNhwcKernel<float, float, float, false>", "copy"),
        ("ampere_sgemm_32x32_sliced1x4_tn", "matrix product"),
        ("void cublasLt::splitKreduce_kernel<32, 16, int, float>", "matrix product"),
        ("void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>", "reduction"),
        (
            "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add>",
            "elementwise",
        ),
        (
            "void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda>",
            "copy",
        ),
        (
            "multi_tensor_apply_kernel<TensorListMetadata<3>, FusedSgdMathFunctor<float, 3>>",
            "optimiser",
        ),
        ("triton_poi_fused__native_batch_norm_legit_functional_relu_3", "compiled"),
        ("Memcpy DtoD (Device -> Device)", "copy"),
        ("something_new", "other"),
    ],
)
def test_kernels_are_sorted_by_their_names(kernel: str, expected: str) -> None:
    from benchmarks.gpu.kernels import class_of

    assert class_of(kernel) == expected


def test_what_does_not_fit_the_time_is_skipped_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.gpu.__main__ import main

    path = tmp_path / "gpu.json"
    words = ["--tiny", "--device", "cpu", "--seconds", "0.5", "--no-profile", "--only", "^ce"]
    assert main([*words, "--output", str(path)]) == 0
    skipped = json.loads(path.read_text())["skipped"]
    assert skipped["ce plain float32"] == "it takes about 1 s, and 0 s are left"
    assert "ce plain float32: skipped, it takes" in capsys.readouterr().out


def test_a_case_that_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks.gpu import __main__ as command

    def fails(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access")

    monkeypatch.setattr(command, "threads", fails)
    path = tmp_path / "gpu.json"
    words = ["--tiny", "--device", "cpu", "--no-profile", "--only", "sade (plain float32|grouped)"]
    assert command.main([*words, "--output", str(path)]) == 0
    record = json.loads(path.read_text())
    assert record["skipped"]["sade plain float32, 2 as streams"].startswith("it failed: ")
    assert list(record["rates"]) == ["sade plain float32", "sade grouped float32"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.gpu.__main__ import main

    assert main([]) == 2
    assert "measures a GPU, and the device is cpu; --tiny" in capsys.readouterr().err
