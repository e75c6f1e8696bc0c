"""Tables that lie in files: the same numbers, to the last bit, and pages that are given back."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ltbench import maps, pieces
from ltbench.errors import LtbenchError
from ltbench.evaluate import posteriors, spilled
from ltbench.evaluate.evaluate import evaluate_row
from ltbench.method import Method
from ltbench.names import parse_row
from ltbench.registry import load_registries
from ltbench.resolve.rows import resolve_row
from ltbench.trial import tensor_file
from tests.zygote import started

CLASSES = 60
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is counted by /proc")


@pytest.fixture
def everything_spilled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every table lies in a file and is worked on in pieces of a few images."""
    monkeypatch.setattr(spilled, "LARGE", 0)
    monkeypatch.setattr(tensor_file, "LARGE", 0)
    monkeypatch.setattr(pieces, "MANY_CLASSES", 1)
    monkeypatch.setattr(pieces, "_VALUES", 7 * 3 * CLASSES)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))


def table(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def test_rows_in_a_file_are_the_rows(everything_spilled: None, tmp_path: Path) -> None:
    logits, places = table(40, 3, CLASSES), torch.randperm(40)[:25]
    assert torch.equal(spilled.rows_of(logits, places), logits[places])
    pair = table(2, 40, 3, CLASSES, dtype=torch.float16)
    assert torch.equal(spilled.rows_of_pair(pair, places), pair[:, places])
    assert list((tmp_path / "cache").iterdir()) == []  # files without a name


def test_members_side_by_side_in_a_file(everything_spilled: None) -> None:
    one, two = table(40, 3, CLASSES), table(40, 1, CLASSES)
    assert torch.equal(spilled.side_by_side([one, two]), torch.cat([one, two], dim=1))
    pairs = [table(2, 40, e, CLASSES, dtype=torch.float16) for e in (3, 2)]
    assert torch.equal(spilled.side_by_side(pairs), torch.cat(pairs, dim=2))


def test_small_tables_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilled, "map_file", None)
    logits, places = table(9, 2, 5), torch.tensor([3, 1])
    assert torch.equal(spilled.rows_of(logits, places), logits[places])
    assert spilled.side_by_side([logits, logits]).shape == (9, 4, 5)


def test_what_is_written_into_a_table_stays(everything_spilled: None) -> None:
    """A strategy may work in place on the logits that it is given."""
    given = spilled.rows_of(table(40, 3, CLASSES), torch.arange(40))
    given += 1
    maps.release()
    assert torch.equal(given, table(40, 3, CLASSES) + 1)


class Own(Method[Any]):
    """With a posterior that is no bias."""

    name = "own"

    def __init__(self) -> None:
        pass

    def posterior(self, logits: Tensor) -> Tensor:
        return logits.double().log_softmax(dim=2)


def test_posteriors_in_a_file(everything_spilled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = table(40, 3, CLASSES)
    pair = table(2, 40, 3, CLASSES, dtype=torch.float16)
    found = posteriors.log_posteriors(Own(), logits)
    views = posteriors._views_as_log_posteriors(Own(), pair)
    assert torch.equal(found, logits.double().log_softmax(dim=2).float())
    assert torch.equal(views, pair.double().log_softmax(dim=3).float().half())


def test_a_full_disk_is_told_in_a_line(
    everything_spilled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(LtbenchError, match=r"0\.0 GB for a while.*No space left.*LTBENCH_CACHE"):
        spilled.rows_of(table(40, 3, CLASSES), torch.arange(40))


# -- stored files --------------------------------------------------------------------------------


def test_a_mapped_file_is_what_the_library_reads(everything_spilled: None, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    stored = {
        "b": table(4, 3),
        "a": table(5, dtype=torch.float16),
        "n": torch.arange(3),
        "e": table(0, 3),
    }
    save_file(stored, path, {"note": "kept"})
    found = tensor_file.read_tensors(path)
    assert found.keys() == stored.keys()
    for name, tensor in stored.items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    found["b"] += 1  # in memory alone
    assert torch.equal(load_file(path)["b"], stored["b"])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(SafetensorError):
        tensor_file.read_tensors(path)


def resident() -> int:
    """Bytes of maps of files that are in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return sum(1024 * int(x.split()[1]) for x in lines if x.startswith(("RssFile", "RssShmem")))


@linux
def test_pages_are_given_back(everything_spilled: None, tmp_path: Path) -> None:
    path, size = tmp_path / "x.safetensors", 4 * 2**20
    save_file({"a": torch.ones(size)}, path)
    found = tensor_file.read_tensors(path)["a"]
    before = resident()
    assert found.sum() == size
    assert resident() - before > 3 * size
    maps.release()
    assert resident() - before < size
    assert found.sum() == size


# -- whole rows ----------------------------------------------------------------------------------

ROWS = [
    "none",
    "em[iterations=4]",
    "bcts-em[iterations=4]",
    "tilt",
    "oracle",
    "stability",
    "entropy",
]
ROWS += ["pseudo-label", "tilt[fallback=true]"]


@pytest.mark.parametrize("strategy", ROWS)
def test_a_row_on_files_is_the_row_in_memory(
    importable_benchmarks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """Priors, scores and all metrics: equal, not close. Both are worked on in pieces."""
    from benchmarks.large_eval import make, outputs_of

    monkeypatch.setattr(pieces, "MANY_CLASSES", 1)
    monkeypatch.setattr(pieces, "_VALUES", 51 * 3 * CLASSES)
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "cache"))
    make(tmp_path, CLASSES, views=strategy == "stability")

    def found() -> dict[str, Any]:
        outputs = outputs_of(tmp_path, CLASSES, ("forward3",))
        row = resolve_row(parse_row(f"sade+{strategy}"), outputs.task.protocol, load_registries())
        return evaluate_row(outputs, row, {})

    in_memory = found()
    monkeypatch.setattr(spilled, "LARGE", 0)
    monkeypatch.setattr(tensor_file, "LARGE", 0)
    assert found() == in_memory


SCRIPT = """
import json, resource, sys
from pathlib import Path
from ltbench import pieces
from ltbench.evaluate import large_logits, spilled
from ltbench.trial import tensor_file
large_logits.LARGE = spilled.LARGE = tensor_file.LARGE = pieces._VALUES = 2**18
pieces.MANY_CLASSES = 2
from benchmarks.large_eval import make, measure

folder, strategies = Path(sys.argv[1]), sys.argv[2:]

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

small = folder / "small"
small.mkdir()
make(small, 200, views=True)
make(folder, 1200, views=True)
for strategy in strategies:  # whatever is loaded once, and buffers
    measure(small, 200, strategy, ("uniform",))
found, before = {}, peak()
for strategy in strategies:
    measure(folder, 1200, strategy, ("uniform",))
    found[strategy] = peak() - before
print(json.dumps(found))
"""


MEASURED = ["none", "oracle", "entropy[epochs=1]", "stability[epochs=1]"]
MEASURED += ["bcts-em[iterations=4]"]  # EM, and a calibration before


@linux
def test_memory_is_bounded_by_a_part_of_the_logits(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Resident memory, maps counted in: of the logits, likelihoods in float64 are two thirds, scores in
    two orders as much, and buffers of pieces. With all in memory `none` takes twice the logits. The peak
    is that of the process: no row may be far above those before it."""
    words = [sys.executable, "-c", SCRIPT, str(tmp_path), *MEASURED]
    env = {**environment, "LTBENCH_CACHE": str(tmp_path / "cache")}
    with started(words, env=env, stdout=PIPE, stderr=PIPE, text=True) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    logits = 4 * (3 * 1200) * 3 * 1200
    grown = json.loads(out)
    assert grown["none"] < 1.35 * logits, grown
    assert all(size < 1.75 * logits for size in grown.values()), grown
