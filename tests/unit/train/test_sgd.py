"""SGD without PyTorch's compiler takes PyTorch's steps to the last bit, and trainings do not import it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ltbench.sgd import SGD

ROOT = Path(__file__).resolve().parents[3]


def trained(kind: type[torch.optim.SGD], steps: int, **settings: Any) -> dict[str, Any]:
    """Weights and state after so many steps, written down and read again after two of them."""
    rng = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(n, generator=rng)) for n in (5, 300)]
    groups = [{"params": weights[:1], "lr": 0.3}, {"params": weights[1:], "weight_decay": 0.0}]

    def new() -> torch.optim.SGD:
        return kind(groups, lr=0.1, momentum=0.9, weight_decay=0.01, **settings)

    optimizer = new()
    for step in range(steps):
        optimizer.zero_grad()
        sum((weight**2).sum() * (step + 1) for weight in weights).backward()  # type: ignore[union-attr]
        optimizer.step()
        if step == 1:
            file = io.BytesIO()
            torch.save(optimizer.state_dict(), file)
            file.seek(0)
            optimizer = new()
            optimizer.load_state_dict(torch.load(file, weights_only=True))
    return {"weights": [w.detach() for w in weights], "state": optimizer.state_dict()}


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_the_steps_are_pytorchs(nesterov: bool, fused: bool) -> None:
    settings = {"nesterov": nesterov, "fused": fused}
    found, expected = (trained(kind, 5, **settings) for kind in (SGD, torch.optim.SGD))
    for own, theirs in zip(found["weights"], expected["weights"], strict=True):
        assert torch.equal(own, theirs)
    assert found["state"]["param_groups"] == expected["state"]["param_groups"]
    assert found["state"]["state"].keys() == expected["state"]["state"].keys()
    for k, own in found["state"]["state"].items():
        assert torch.equal(own["momentum_buffer"], expected["state"]["state"][k]["momentum_buffer"])


def test_a_closure_has_slopes_and_its_loss_comes_back() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = SGD([weight], lr=0.25)

    def closure() -> float:
        loss = (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    assert optimizer.step(closure) == 2.0
    assert torch.equal(weight.detach(), torch.full((2,), 0.5))


def test_a_training_imports_neither_the_compiler_nor_scikit_learn(tmp_path: Path) -> None:
    code = """
import sys
import pytest
from tests.in_process import without_workers
without_workers(pytest.MonkeyPatch())
from ltbench.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    assert ended.code == 0, ended.code
print(sorted({"torch._dynamo", "torch._inductor", "sympy", "sklearn", "pandas"} & set(sys.modules)))
"""
    words = ["run", "--methods", "ce", "--protocol", "digits-lt", "--results", str(tmp_path / "r")]
    words += ["--set", "recipe.epochs=1", "--set", "test.draws=1", "--set", "test.ratios=2"]
    words += ["--set", "train.max_count=30", "--set", "train.imbalance=15"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
