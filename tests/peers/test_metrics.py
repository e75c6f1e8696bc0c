"""Scores of predictions against scikit-learn, torchmetrics and abstention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from abstention.calibration import compute_ece
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    recall_score,
    top_k_accuracy_score,
)
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_recall,
)

from ltbench.evaluate import metrics

from .exact import long_softmax, one_hot
from .table import Ledger
from .worlds import CLASSES, DTYPES, World, distance, random_world, softmax


def scored(classes: int, dtype: torch.dtype, extreme: bool) -> tuple[Tensor, Tensor]:
    world = random_world(classes, dtype, held=2000, sharpness=0.7, extreme=extreme)
    return world.held, world.labels


CASES = pytest.mark.parametrize(
    ("classes", "dtype", "extreme"),
    [(c, d, e) for c in CLASSES for d in DTYPES for e in (False, True)],
    ids=str,
)


@CASES
def test_accuracy_and_recalls(
    classes: int, dtype: torch.dtype, extreme: bool, ledger: Ledger
) -> None:
    scores, labels = scored(classes, dtype, extreme)
    kept = labels != classes - 1 if classes > 2 else labels >= 0  # a class without images
    scores, labels = scores[kept], labels[kept]
    said = scores.argmax(dim=1)
    hits = metrics.correct(scores, labels)
    recalls = metrics.per_class_recall(hits, labels, classes)
    present = [c for c, recall in enumerate(recalls) if recall is not None]
    known = np.array([recalls[c] for c in present], dtype=float) / 100
    macro = metrics.mean_recall(recalls)
    assert macro is not None

    said_right = [int(a) == int(b) for a, b in zip(said, labels, strict=True)]
    exact = sum(said_right) / len(labels)
    top1 = hits.double().mean().item()
    ledger.record("top-1 accuracy", "scikit-learn", abs(top1 - accuracy_score(labels, said)))
    theirs = multiclass_accuracy(said, labels, classes, average="micro").item()
    ledger.record(
        "top-1 accuracy",
        "torchmetrics",
        abs(top1 - theirs),
        SINGLE,
        ours=abs(top1 - exact),
        theirs=abs(theirs - exact),
    )

    options = {"labels": present, "zero_division": 0}
    theirs = recall_score(labels, said, average=None, **options)
    ledger.record("recall of each class", "scikit-learn", distance(known, theirs))
    theirs = recall_score(labels, said, average="macro", **options)
    ledger.record("mean recall over the classes present", "scikit-learn", abs(macro / 100 - theirs))
    truth = labels.tolist()
    counted = np.array(
        [
            sum(right for right, y in zip(said_right, truth, strict=True) if y == c)
            / truth.count(c)
            for c in present
        ]
    )
    theirs = multiclass_recall(said, labels, classes, average=None)[present].double().numpy()
    ledger.record(
        "recall of each class",
        "torchmetrics",
        distance(known, theirs),
        SINGLE,
        ours=distance(known, counted),
        theirs=distance(theirs, counted),
    )


SINGLE = "we: it counts in single precision, we in double; counted with integers"


@CASES
def test_negative_log_likelihood(
    classes: int, dtype: torch.dtype, extreme: bool, ledger: Ledger
) -> None:
    scores, labels = scored(classes, dtype, extreme)
    ours = metrics.negative_log_likelihood(scores, labels)
    p = long_softmax(scores)[np.arange(len(labels)), labels.numpy()]
    theirs = log_loss(labels, softmax(scores), labels=range(classes))
    if not extreme:
        exact = float(-np.log(p).mean())
        off = abs(ours - exact), abs(theirs - exact)
        ledger.record(
            "negative log-likelihood",
            "scikit-learn",
            abs(ours - theirs),
            ours=off[0],
            theirs=off[1],
        )
        return
    # Long double underflows, too: log p from differences of logits.
    z = scores.double().numpy().astype(np.longdouble)
    z -= z.max(axis=1, keepdims=True)
    log_p = z[np.arange(len(labels)), labels.numpy()] - np.log(np.exp(z).sum(axis=1))
    exact = float(-log_p.mean())
    ledger.record(
        "negative log-likelihood, posteriors of exactly 0 and 1, relative",
        "scikit-learn",
        abs(ours - theirs) / exact,
        "we: it clips posteriors at 2e-16; logarithms of differences of logits in long double",
        ours=abs(ours - exact) / exact,
        theirs=abs(theirs - exact) / exact,
    )


@CASES
def test_expected_calibration_error(
    classes: int, dtype: torch.dtype, extreme: bool, ledger: Ledger
) -> None:
    scores, labels = scored(classes, dtype, extreme)
    ours = metrics.expected_calibration_error(scores, labels)
    posterior = long_softmax(scores)
    sure = posterior.max(axis=1)
    hits = posterior.argmax(axis=1) == labels.numpy()
    exact = 0.0
    for m in range(1, 16):
        inside = (sure * 15 > m - 1) & (sure * 15 <= m)
        exact += abs(float((hits[inside] - sure[inside]).sum())) / len(labels)
    theirs = compute_ece(softmax(scores), one_hot(labels, classes), 16) / 100  # edges, not bins
    ledger.record(
        "expected calibration error",
        "abstention",
        abs(ours - theirs),
        ours=abs(ours - exact),
        theirs=abs(theirs - exact),
    )
    theirs = multiclass_calibration_error(
        torch.from_numpy(softmax(scores)), labels, classes, n_bins=15, norm="l1"
    ).item()
    ledger.record(
        f"expected calibration error{', posteriors of exactly 0 and 1' if extreme else ''}",
        "torchmetrics",
        abs(ours - theirs),
        LAST_BIN if extreme else SINGLE_BINS,
        ours=abs(ours - exact),
        theirs=abs(theirs - exact),
    )


SINGLE_BINS = "we: it sums in single precision; a loop over bins in long double"
LAST_BIN = "we: it gives confidence 1 a 16th bin; Guo et al., section 2: the last is (14/15, 1]"


@CASES
def test_brier_score(classes: int, dtype: torch.dtype, extreme: bool, ledger: Ledger) -> None:
    """In [0, 2]; of two classes the peer halves it unless told not to."""
    scores, labels = scored(classes, dtype, extreme)
    ours = metrics.brier_score(scores, labels)
    off = long_softmax(scores) - one_hot(labels, classes)
    exact = float((off * off).sum(axis=1).mean())
    posterior = softmax(scores)
    options = {"labels": np.arange(classes), "scale_by_half": False}
    theirs = brier_score_loss(labels.numpy(), posterior, **options)
    ledger.record(
        "Brier score",
        "scikit-learn",
        abs(ours - theirs),
        ours=abs(ours - exact),
        theirs=abs(theirs - exact),
    )


def top5_by_sorting(scores: Tensor, labels: Tensor) -> float:
    """A stable sort of each image: of equal scores the first class comes first."""
    hits = 0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        hits += label in sorted(range(len(row)), key=lambda c: -row[c])[:5]
    return hits / len(labels)


def top5(scores: Tensor, labels: Tensor) -> dict[str, float]:
    classes = scores.shape[1]
    given, truth = scores.double(), labels.numpy()
    hits = metrics.among_first(scores, labels)
    return {
        "ours": hits.double().mean().item(),
        "scikit-learn": float(
            top_k_accuracy_score(truth, given.numpy(), k=5, labels=np.arange(classes))
        ),
        "torchmetrics": multiclass_accuracy(
            given, labels, classes, average="micro", top_k=5
        ).item(),
        "exact": top5_by_sorting(scores, labels),
    }


@pytest.mark.parametrize("classes", [10, 100, 1000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("extreme", [False, True])
def test_top_5(classes: int, dtype: torch.dtype, extreme: bool, ledger: Ledger) -> None:
    """Images whose label shares its score with another class are left to the test below."""
    scores, labels = scored(classes, dtype, extreme)
    alone = (scores == scores.gather(1, labels[:, None])).sum(dim=1) == 1
    found = top5(scores[alone], labels[alone])
    assert found["ours"] == found["exact"]
    for peer, verdict in (("scikit-learn", "equal"), ("torchmetrics", SINGLE)):
        ledger.record(
            "top-5 accuracy",
            peer,
            abs(found["ours"] - found[peer]),
            verdict,
            ours=abs(found["ours"] - found["exact"]),
            theirs=abs(found[peer] - found["exact"]),
        )


def test_top_5_of_equal_scores(ledger: Ledger) -> None:
    rng = torch.Generator().manual_seed(0)
    scores = torch.randint(4, (2000, 20), generator=rng).float()
    labels = torch.randint(20, (2000,), generator=rng)
    found = top5(scores, labels)
    assert found["ours"] == found["exact"]
    for peer, rule in (
        ("scikit-learn", "the last class"),
        ("torchmetrics", "whichever class its sort leaves first"),
    ):
        ledger.record(
            "top-5 accuracy, many equal scores",
            peer,
            abs(found["ours"] - found[peer]),
            f"both, a convention: of equal scores {rule} comes first there, with us the first, as in"
            " argmax",
        )


def test_digits(digits: tuple[World, Tensor], ledger: Ledger) -> None:
    world, labels = digits
    ours = metrics.negative_log_likelihood(world.test, labels)
    theirs = log_loss(labels, softmax(world.test), labels=range(10))
    ledger.record("negative log-likelihood, digits", "scikit-learn", abs(ours - theirs))
    ours = metrics.expected_calibration_error(world.test, labels)
    theirs = compute_ece(softmax(world.test), one_hot(labels, 10), 16) / 100
    ledger.record("expected calibration error, digits", "abstention", abs(ours - theirs))
    recalls = metrics.per_class_recall(metrics.correct(world.test, labels), labels, 10)
    theirs = 100 * recall_score(labels, world.test.argmax(dim=1), average=None)
    ledger.record(
        "recall of each class, digits", "scikit-learn", distance(np.array(recalls, float), theirs)
    )
