"""Every property of the contract fails on a plugin with that one fault, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ltbench.contract.card import METHOD_CARD, STRATEGY_CARD
from ltbench.contract.check import Finding, by_cause, checks_of
from ltbench.contract.methods import METHOD_PROPERTIES
from ltbench.contract.protocols import PROTOCOL_PROPERTIES
from ltbench.contract.strategies import STRATEGY_PROPERTIES
from ltbench.protocol.file import load_protocol_config

METHOD = '''
import torch
from dataclasses import dataclass
from torch.nn import functional as F
from ltbench import Architecture, Hyper, Method, Phase, Reference
from ltbench.method import log_prior
from ltbench.settings import setting

SEEN = []

@dataclass(frozen=True)
class H(Hyper):
    tau: float = setting(1.0, low=0, help="strength")

class Mine(Method[H]):
    """L = -log softmax(z + tau log pi)_y."""
    name, title, hyper_type = "mine", "Mine", H
    reference = Reference("A, B", "T", "V", 2020, "https://x.org")

    def loss(self, logits, targets, *, progress, rng=None):
        return F.cross_entropy(logits[:, 0] + self.bias()[0], targets)

    def bias(self):
        return self.hyper.tau * log_prior(self.counts)[None]
'''
LOSS = "return F.cross_entropy(logits[:, 0] + self.bias()[0], targets)"
BIAS = "return self.hyper.tau * log_prior(self.counts)[None]"
OVER_WEIGHTS = """z = logits[:, 0] + self.bias()[0]
        return F.cross_entropy(z, targets, weight=1 / self.counts)

    mean_over_images = True"""
TITLE = '"mine", "Mine", H'

STRATEGY = '''
import torch
from torch.nn import functional as F
from ltbench import Reference, Strategy
from ltbench.strategy import Adapted

class Mine(Strategy):
    """argmax mean_e z_e."""
    name, title = "mine", "Mine"
    uses_predict = False
    reference = Reference("A, B", "T", "V", 2020, "https://x.org")

    def adapt(self, test, source, rng):
        def predict(logits):
            return logits.mean(dim=1)
        return Adapted(logits=predict(test.logits), frozen=predict)
'''
ADAPT = "return Adapted(logits=predict(test.logits), frozen=predict)"

PROTOCOL = """
extends = "digits-lt"
name = "mine"
version = "1.0"
title = "Mine"
"""


def findings(path: Path, text: str, old: str, new: str, name: str | None = None) -> list[Finding]:
    """Of all properties, or of the one that is named."""
    assert old in text
    path.write_text(text.replace(old, new))
    checks = (check for check in checks_of(path) if name in (None, check.property.name))
    return [check.finding() for check in checks]


def assert_caught(found: list[Finding], name: str, words: str) -> None:
    (finding,) = [finding for finding in found if finding.name == name]
    assert not finding.holds
    assert words in finding.reason, finding.reason
    assert "\n" not in finding.reason


STATE = [
    ("self.n = getattr(self, 'n', 0) + 1", "self.n differs after other batches"),
    ("self.kept = [*getattr(self, 'kept', []), 1]", "self.kept differs"),
    ("type(self).n = getattr(self, 'n', 0) + 1", "Mine.n differs"),
    ("Mine.loss.n = getattr(Mine.loss, 'n', 0) + 1", "Mine.loss differs"),
    ("self.counts = self.counts + 1", "self.counts"),
]
EMA = (
    " * (1 + self.ema)\n\n    def __init__(self, counts, hyper):\n        super().__init__(counts, hyper)\n"
    "        self.ema = torch.zeros(())\n\n    def predict(self, logits):\n        self.ema.add_(0.1)\n"
    "        return logits.mean(1)"
)
FIRST_BATCH = (
    "self.centre = getattr(self, 'centre', logits.detach().mean())\n"
    "        return F.cross_entropy(logits[:, 0] * self.centre.exp(), targets)"
)
OWN_GENERATOR = (
    "self.rng = getattr(self, 'rng', None) or torch.Generator().manual_seed(0)\n"
    "        return F.cross_entropy(logits[:, 0] + torch.rand(1, generator=self.rng), targets)"
)
WEIGHTS = [
    ("    scale = torch.nn.Parameter(torch.ones(()))\n\n", "Mine.scale is a learnable parameter"),
    (
        "    def __init__(self, counts, hyper):\n        super().__init__(counts, hyper)\n"
        "        self.scale = torch.ones((), requires_grad=True)\n\n",
        "self.scale is a learnable parameter",
    ),
    (
        "    def __init__(self, counts, hyper):\n        super().__init__(counts, hyper)\n"
        "        self.parts = {'a': [torch.nn.Linear(2, 2)]}\n\n",
        "self.parts['a'][0].weight is a learnable parameter",
    ),
]
WEIGHED = "return F.cross_entropy(logits[:, 0], targets, weight=w)"
SQUARE_ROOT = (
    "return F.cross_entropy(logits[:, 0], targets) + logits.square().sum((1, 2)).sqrt().mean()"
)
PREDICT = "def predict(self, logits):\n        return "
POSTERIOR = "def posterior(self, logits):\n        return "
PARENT = "def parent(self):\n        from ltbench.method import Parent\n        return "
DRAW = "def draw(self, batch, *, progress, rng):\n        return "
ADVANCE = "def advance(self, descend, optimizer):\n        "
TAIL = (
    "def objective(self, seen):\n        whole = super().objective(seen)\n"
    "        return whole if not seen.part else whole"
)
MIX = "def mix(self, first, second, draws):\n        from ltbench.method import Images\n        return "
METHOD_FAULTS = [
    (
        "loss_stage_tells_when_the_loss_changes",
        LOSS,
        LOSS + " * (1 + progress)\n\n    def loss_stage(self, progress):\n        return 0",
        "a recorded training step would not notice",
    ),
    ("title", TITLE, '"mine", " ", H', "title is empty"),
    ("name_and_version", TITLE, TITLE + "\n    version = 0", "version = 0 must be a whole number"),
    ("docstring", '"""L = -log softmax(z + tau log pi)_y."""', "", "no docstring"),
    ("reference", "reference = Ref", "other = Ref", "no reference"),
    ("published_settings", '"https://x.org"', '"https://x.org", {"tau": 2.0}', "not the default"),
    (
        "hyper_parameters_are_typed_and_frozen",
        "tau: float = setting(1.0, low=0",
        "tau: tuple[float, ...] = setting((1.0,), low=0",
        "must be a number",
    ),
    ("hyper_parameters_have_help", ', help="strength"', "", "tau: write setting"),
    (
        "an_unknown_hyper_parameter_is_refused",
        'help="strength")',
        'help="strength")\n'
        "    @classmethod\n    def from_mapping(cls, values, owner):\n"
        "        return cls(tau=float(values.get('tau', 1.0)))",
        "was accepted",
    ),
    ("own_strategy_exists", TITLE, TITLE + '\n    strategy = "magic"', "strategy = 'magic'"),
    (
        "training_identity_can_be_trained",
        "def bias",
        'def training_identity(self):\n        return "nobody", {}\n\n    def bias',
        "unknown method 'nobody'",
    ),
    (
        "a_post_hoc_method_has_the_loss_of_its_trainer",
        "def bias",
        'def training_identity(self):\n        return "ce", {}\n\n    def bias',
        "that of its trainer",
    ),
    (
        "architecture_and_phases",
        "def bias",
        "def phases(self):\n        return ()\n\n    def bias",
        "at least one",
    ),
    ("loss_is_a_finite_scalar", LOSS, LOSS[:-1] + ", reduction='none')", "must be one number"),
    (
        "loss_teaches_every_expert",
        "def bias(self):",
        "def architecture(self):\n        return Architecture(experts=2)\n\n    def bias(self):",
        "experts [1] get no gradient",
    ),
    (
        "loss_survives_extreme_logits",
        LOSS,
        "return F.nll_loss(F.softmax(logits[:, 0], 1).log(), targets)",
        "use log_softmax",
    ),
    ("loss_has_no_side_effects", LOSS, "logits.data += 1\n        " + LOSS, "writes into"),
    (
        "loss_leaves_the_global_generator_alone",
        LOSS,
        "torch.rand(1)\n        " + LOSS,
        "generator=rng",
    ),
    *(
        (
            "loss_leaves_the_global_generator_alone",
            LOSS,
            f"{draw}\n        {LOSS}",
            "numpy or random",
        )
        for draw in ("import random; random.random()", "import numpy; numpy.random.rand()")
    ),
    *(("keeps_no_state", LOSS, f"{step}\n        {LOSS}", words) for step, words in STATE),
    ("keeps_no_state", LOSS, LOSS + EMA, "self.ema differs after other batches"),
    (
        "keeps_no_state",
        LOSS,
        "SEEN.append(len(targets))\n        " + LOSS,
        "the global SEEN differs",
    ),
    ("keeps_no_state", LOSS, FIRST_BATCH, "self.centre differs"),
    ("keeps_no_state", LOSS, OWN_GENERATOR, "self.rng differs"),
    (
        "keeps_no_state",
        "def bias",
        "def predict(self, logits):\n        self.n = getattr(self, 'n', 0) + 1\n"
        "        return logits.mean(1)\n\n    def bias",
        "self.n differs",
    ),
    *(
        ("has_nothing_of_its_own_to_train", "    def loss", own + "    def loss", words)
        for own, words in WEIGHTS
    ),
    (
        "loss_stays_on_the_device",
        LOSS,
        "w = torch.ones(len(self.counts))\n        " + WEIGHED,
        "CPU",
    ),
    (
        "loss_has_no_side_effects",
        LOSS,
        "targets.add_(1).sub_(1); logits[0] += 1\n        " + LOSS,
        "writes",
    ),
    ("loss_is_a_finite_scalar", LOSS, LOSS.replace("targets)", "targets).double()"), "float64"),
    ("loss_is_a_finite_scalar", LOSS, "w = torch.ones(10)\n        " + WEIGHED, "Error"),
    ("mean_over_images_is_true", LOSS, OVER_WEIGHTS, "as the mean of its images one by one"),
    ("loss_survives_extreme_logits", LOSS, SQUARE_ROOT, "gradient of the loss is not finite"),
    *(
        ("predict_scores_every_class", "def bias", PREDICT + result + "\n\n    def bias", words)
        for result, words in (
            ("logits.mean(1)[:-1]", "it must make (B, C)"),
            ("logits.mean(1)[:, :-1]", "it must make (B, C)"),
            ("logits.mean(1).double()", "float64"),
            ("logits.softmax(2).log().mean(1) * 1e38 * 1e38", "NaN or infinite"),
        )
    ),
    *(
        (
            "architecture_and_phases",
            "def bias",
            f"def {name}(self):\n        return {made}\n\n    def bias",
            words,
        )
        for name, made, words in (
            ("phases", "(Phase(train='head'),)", "did you mean 'heads'"),
            ("phases", "(Phase(sampler='sqrt'),)", "'instance' or 'class-balanced'"),
            ("architecture", "Architecture(experts=2.5)", "whole number"),
        )
    ),
    (
        "image_order_does_not_matter",
        LOSS,
        "w = torch.arange(len(targets)) + 1.0\n        "
        "return (w * F.cross_entropy(logits[:, 0], targets, reduction='none')).mean()",
        "in another order",
    ),
    (
        "class_names_do_not_matter",
        LOSS,
        "return F.cross_entropy(logits[:, 0] + torch.arange(logits.shape[2]), targets)",
        "renumbered",
    ),
    (
        "predict_scores_every_class",
        "def bias",
        "def predict(self, logits):\n        return logits\n\n    def bias",
        "it must make (B, C)",
    ),
    ("bias_has_one_row_per_expert", BIAS, BIAS.removesuffix("[None]"), "expected (E, C)"),
    ("bias_is_that_of_the_loss", BIAS, "return 0 * log_prior(self.counts)[None] + 1", None),
    (
        "bias_is_that_of_the_loss",
        LOSS,
        "return F.cross_entropy(logits[:, 0], targets)",
        "is not cross-entropy on z + bias[0]",
    ),
    (
        "bias_is_that_of_the_loss",
        LOSS,
        LOSS + "\n\n    def phases(self):\n        return (Phase(sampler=0.0),)",
        "then the bias is that of the loss and 1 log pi",
    ),
    (
        "bias_is_that_of_the_loss",
        LOSS,
        "return -F.cross_entropy(logits[:, 0] + self.bias()[0], targets)",
        "is not that of the loss",
    ),
    *(
        ("posterior_is_that_of_the_loss", LOSS, f"{LOSS}\n\n    {POSTERIOR}{told}", words)
        for told, words in (
            ("logits", "posterior is not that of the loss"),
            ("2 * (logits + self.bias())", "posterior is not that of the loss"),
            ("None", "returned no tensor"),
            ("logits[:, :, 1:]", "it must make finite"),
            ("logits + logits.mean(0)", "depends on the other images"),
            ("logits + torch.arange(logits.shape[2])", "depends on the number of a class"),
        )
    ),
    *(
        ("parent_can_be_trained", LOSS, f"{LOSS}\n\n    {PARENT}{parent}", words)
        for parent, words in (
            ("'ce'", "must return ltbench.method.Parent"),
            ("Parent('nobody')", "unknown method 'nobody'"),
            ("Parent('mine')", "names the method itself"),
            ("Parent('sade')", "asks for another network"),
        )
    ),
    *(
        ("network_stays_one", LOSS, f"{LOSS}\n\n    {hook}", words)
        for hook, words in (
            (
                "def build(self, network):\n        network.set_head(0, torch.nn.Linear(64, 3))",
                "the network gives (4, 1, 3)",
            ),
            (
                "def finish(self, network, training):\n"
                "        network.set_head(0, torch.nn.Bilinear(64, 64, 2))",
                "Error",
            ),
            (
                "def finish(self, network, training):\n        next(network.heads()).register_buffer("
                "'mean', training.features.mean(0))",
                "its weights do not fit what build makes again",
            ),
            (
                "def finish(self, network, training):\n        next(network.heads()).weight.div_(0)",
                "not finite",
            ),
        )
    ),
    *(
        ("draw_gives_tensors", LOSS, f"{LOSS}\n\n    {DRAW}{drawn}", words)
        for drawn, words in (
            ("torch.rand(2, generator=rng)", "returned Tensor; it must return a tuple"),
            ("(torch.rand(2),)", "other numbers from an equal rng"),
            ("(torch.rand(1 + int(9 * progress), generator=rng),)", "depend on progress"),
        )
    ),
    *(
        ("mix_gives_images", LOSS, f"{LOSS}\n\n    {MIX}{mixed}", words)
        for mixed, words in (
            ("first.pixels", "returned Tensor, not Images"),
            ("Images(first.pixels[:2], first.targets[:2])", "returned pixels (2, 3, 8, 8)"),
            (
                "Images(torch.cat([first.pixels] * 2), first.targets)",
                "expected (8, 3, 8, 8) torch.float32, or the first views of all 8 images",
            ),
            ("Images(first.pixels.mul_(2), first.targets)", "writes into the images"),
            ("Images(first.pixels + torch.rand(1), first.targets)", "uses a global generator"),
            (
                "Images(first.pixels, 2 * F.one_hot(first.targets, len(self.counts)).float())",
                "rows that sum to 1",
            ),
        )
    ),
    *(
        ("every_part_of_the_loss_is_finite", LOSS, f"{LOSS}\n\n    {ADVANCE}{body}", words)
        for body, words in (
            ("return torch.ones(())", "never calls descend"),
            (
                f"return descend('tail')\n\n    {TAIL} / 0",
                "part 'tail' of the loss or its gradient",
            ),
            (f"return descend('tail')\n\n    {TAIL}.detach()", "does not depend on the logits"),
        )
    ),
]
STRATEGY_FAULTS = [
    ("declared_needs", "uses_predict = False", "needs = frozenset({'magic'})", "'magic'"),
    ("declared_needs", "uses_predict = False", "max_classes = 1", "max_classes = 1 must be"),
    (
        "_fits_some_method",
        "uses_predict = False",
        "min_experts = 99",
        "no registered method has 99 experts",
    ),
    ("scores_are_usable", ADAPT, "return Adapted(logits=test.logits)", "expected (N, C)"),
    ("scores_are_usable", ADAPT, "return predict(test.logits)", "must return Adapted"),
    (
        "what_it_tells_is_well_formed",
        ADAPT,
        "return Adapted(logits=predict(test.logits), prior=torch.ones(5))",
        "sums to 5, not to 1",
    ),
    (
        "same_seed_same_answer",
        ADAPT,
        "return Adapted(logits=predict(test.logits) + torch.rand(1))",
        "other scores the second time",
    ),
    (
        "frozen_repeats_the_scores",
        ADAPT,
        "return Adapted(logits=predict(test.logits), frozen=lambda z: z.mean(1) - z.mean((0, 1)))",
        "other scores than",
    ),
    (
        "image_order_does_not_matter",
        ADAPT,
        "s = predict(test.logits)\n        return Adapted(logits=s * (1 + torch.arange(len(s)))[:, None])",
        "order of arrival",
    ),
    (
        "asks_only_for_what_it_declares",
        ADAPT,
        "test.views(0)\n        " + ADAPT,
        "without declaring 'views'",
    ),
    (
        "uses_what_it_declares",
        "uses_predict = False",
        "uses_predict = False\n    needs = frozenset({'true_prior'})",
        "adapt does without it",
    ),
    (
        "predict_is_called_only_if_declared",
        ADAPT,
        "return Adapted(logits=source.method.predict(test.logits))",
        "set uses_predict = True",
    ),
    (
        "keeps_nothing_of_the_last_test_set",
        ADAPT,
        "self.n = getattr(self, 'n', 0) + 1\n        " + ADAPT,
        "self.n differs after other test sets",
    ),
    (
        "keeps_nothing_of_the_last_test_set",
        ADAPT,
        "source.method.seen = len(test.logits) + getattr(source.method, 'seen', 0)\n        "
        + ADAPT,
        "self.seen differs",
    ),
    (
        "class_names_do_not_matter",
        ADAPT,
        "return Adapted(logits=predict(test.logits) + torch.arange(5))",
        "set uses_class_order = True",
    ),
    (
        "same_seed_same_answer",
        ADAPT,
        "import numpy; numpy.random.rand()\n        " + ADAPT,
        "global generator",
    ),
    (
        "session_is_one_or_none",
        "def adapt",
        "def session(self, source, rng):\n        return 3\n\n    def adapt",
        "session returned int",
    ),
]
SESSION = """
from ltbench.strategy import Session
seen = []

class Online(Session):
    predicts = PREDICTS

    def step(self, batch):
        logits = batch.logits.mean(dim=1)
        STEP

class Mine(Strategy):"""
OPEN = "def session(self, source, rng):\n        return Online()\n\n    def adapt"


def with_session(predicts: str, step: str) -> str:
    """The strategy with a session that has one fault."""
    online = SESSION.replace("PREDICTS", repr(predicts)).replace("STEP", step)
    return STRATEGY.replace("class Mine(Strategy):", online).replace("def adapt", OPEN)


SESSION_FAULTS = [
    (
        "session_is_one_or_none",
        "whenever",
        "return logits",
        "predicts of the session is 'whenever'",
    ),
    ("session_predicts_batches_of_any_size", "fixed", "return logits[:5]", "expected (B, C)"),
    (
        "session_keeps_nothing_of_the_last_stream",
        "after",
        "seen.append(1); return logits + torch.arange(5) * len(seen)",
        "left something behind",
    ),
    (
        "session_predicts_when_it_says",
        "before",
        "return logits - logits.mean(dim=0)",
        "other images of the batch",
    ),
]


@pytest.mark.parametrize(("name", "predicts", "step", "words"), SESSION_FAULTS)
def test_session_faults(tmp_path: Path, name: str, predicts: str, step: str, words: str) -> None:
    path = tmp_path / "mine.py"
    right = with_session("fixed", "return logits")
    (held,) = findings(path, right, "", "", name)
    assert held.holds
    assert_caught(findings(path, with_session(predicts, step), "", "", name), name, words)


PROTOCOL_FAULTS = [
    ("file_is_valid", 'title = "Mine"', 'title = "Mine"\n[recipe]\nepoch = 3', "epoch"),
    ("has_version_and_title", 'version = "1.0"', 'version = ""', "version is empty"),
    ("file_is_named_after_it", 'name = "mine"', 'name = "yours"', "the protocol 'yours'"),
    (
        "settings_are_of_known_plugins",
        'title = "Mine"',
        'title = "Mine"\n[methods.sad]\ntau = 1.0',
        "did you mean 'sade'",
    ),
    (
        "other_images_have_their_own_settings",
        'title = "Mine"',
        'title = "Mine"\n[data]\nsource = "cifar10"\nimage_size = 32',
        "not taken over from digits-lt",
    ),
    (
        "images_are_here",
        'extends = "digits-lt"',
        'extends = "cifar10-lt"',
        "ltbench data prepare",
    ),
    (
        "sets_can_be_drawn",
        'title = "Mine"',
        'title = "Mine"\n[test]\nratios = [500]',
        "would have no image",
    ),
    (
        "every_group_has_a_class",
        'title = "Mine"',
        'title = "Mine"\n[groups]\nmany_above = 500',
        "no class is many-shot",
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "words"), METHOD_FAULTS)
def test_a_methods_fault_is_caught(
    tmp_path: Path, name: str, old: str, new: str, words: str | None
) -> None:
    found = findings(tmp_path / "mine.py", METHOD, old, new, name)
    if words is None:  # a constant more on every class is the same posterior: no fault
        assert [finding.holds for finding in found] == [True]
        return
    assert_caught(found, name, words)


@pytest.mark.parametrize(("name", "old", "new", "words"), STRATEGY_FAULTS)
def test_a_strategys_fault_is_caught(
    tmp_path: Path, name: str, old: str, new: str, words: str
) -> None:
    assert_caught(findings(tmp_path / "mine.py", STRATEGY, old, new, name), name, words)


@pytest.mark.parametrize(("name", "old", "new", "words"), PROTOCOL_FAULTS)
def test_a_protocols_fault_is_caught(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    old: str,
    new: str,
    words: str,
) -> None:
    monkeypatch.setenv("LTBENCH_CACHE", str(tmp_path / "empty"))
    assert_caught(findings(tmp_path / "mine.toml", PROTOCOL, old, new, name), name, words)


@pytest.mark.parametrize(
    ("file", "text"), [("mine.py", METHOD), ("mine.py", STRATEGY), ("mine.toml", PROTOCOL)]
)
def test_without_a_fault_everything_holds(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    assert [
        f for f in (check.finding() for check in checks_of(tmp_path / file)) if not f.holds
    ] == []


def test_every_property_has_a_fault_here() -> None:
    """No property that cannot fail."""
    faults = (*METHOD_FAULTS, *STRATEGY_FAULTS, *SESSION_FAULTS, *PROTOCOL_FAULTS)
    caught = {fault[0] for fault in faults}
    groups = (METHOD_CARD, STRATEGY_CARD, METHOD_PROPERTIES, STRATEGY_PROPERTIES)
    names = {each.name for group in groups for each in group}
    assert names | {each.name for each in PROTOCOL_PROPERTIES} | {"_fits_some_method"} == caught


ALLOWED = [
    # made once from the counts
    "self.w = getattr(self, 'w', self.counts / self.counts.sum())",
    # made from the call's own progress, kept for the next call of the same epoch
    "self.at = progress; self.half = 0.5 * progress",
    # a memo that grows
    "self.memo = getattr(self, 'memo', {}); self.memo[progress] = progress ** 2",
    # noise for every logit: draws belong to numbers of classes, their distribution does not
    "logits = logits + 0.1 * torch.randn(logits.shape, generator=rng).to(logits.device)",
    # the last value, to look at
    "self.last = logits.detach().mean().item()",
]


@pytest.mark.parametrize("line", ALLOWED)
def test_what_is_a_function_of_the_call_is_no_state(tmp_path: Path, line: str) -> None:
    found = findings(tmp_path / "mine.py", METHOD, LOSS, f"{line}\n        {LOSS}")
    noisy = {"bias_is_that_of_the_loss"} if "randn" in line else set()  # then it is none
    assert {finding.name for finding in found if not finding.holds} == noisy


OF_NUMBERS = "return F.cross_entropy(logits[:, 0] + torch.arange(logits.shape[2]), targets)"
OF_NUMBERS_TOO = "return Adapted(logits=predict(test.logits) + torch.arange(5))"


@pytest.mark.parametrize(
    ("text", "old", "new"), [(METHOD, LOSS, OF_NUMBERS), (STRATEGY, ADAPT, OF_NUMBERS_TOO)]
)
def test_a_plugin_may_say_that_numbers_of_classes_mean_something(
    tmp_path: Path, text: str, old: str, new: str
) -> None:
    said = text.replace("    reference = Ref", "    uses_class_order = True\n    reference = Ref")
    (found,) = findings(tmp_path / "mine.py", said, old, new, "class_names_do_not_matter")
    assert found.holds


def test_one_reason_is_told_once(tmp_path: Path) -> None:
    for new in (LOSS[:-1] + ", reduction='none')", "return nothing"):
        found = findings(tmp_path / "mine.py", METHOD, LOSS, new)
        groups = [group for group in by_cause(found) if not group[0].holds]
        assert len(groups) == 1
        assert len(groups[0]) >= 10
        assert not groups[0][0].advice


@pytest.mark.parametrize("name", ["my_hard_digits", "my-hard-digits", "my-hard_digits"])
def test_an_underscore_in_the_name_of_a_protocol_is_right(tmp_path: Path, name: str) -> None:
    path = tmp_path / "my_hard_digits.toml"
    path.write_text(PROTOCOL.replace('"mine"', f'"{name}"'))
    assert [c.finding() for c in checks_of(path) if not c.finding().holds] == []
    assert load_protocol_config(name, plugins=[str(path)]).name == name
    assert [c.finding() for c in checks_of(name, [str(path)]) if not c.finding().holds] == []


HIDDEN_STATE = {
    "a closure": (
        "def make():\n    n = [0]\n    def tick():\n        n[0] += 1\n    return tick\n"
        "tick = make()",
        "tick()",
        "the global tick",
    ),
    "a variable of a closure": (
        "def make():\n    n = 0\n    def tick():\n        nonlocal n\n        n += 1\n    return tick\n"
        "tick = make()",
        "tick()",
        "the global tick",
    ),
    "a generator": (
        "def numbers():\n    n = 0\n    while True:\n        n += 1\n        yield n\n"
        "steps = numbers()",
        "next(steps)",
        "the global steps",
    ),
    "slots": (
        "class Count:\n    __slots__ = ('n',)\n    def __init__(self):\n        self.n = 0\n"
        "count = Count()",
        "count.n += 1",
        "the global count",
    ),
    "a partial": (
        "import functools\ntick = functools.partial(list.append, [])",
        "tick(1)",
        "the global tick",
    ),
    "a bound method": (
        "class Count:\n    def __init__(self):\n        self.n = 0\n    def up(self):\n"
        "        self.n += 1\nup = Count().up",
        "up()",
        "the global up",
    ),
    "bytes": ("seen = bytearray()", "seen.append(1)", "the global seen"),
    "a helper module": ("import helper", "helper.N += 1", "the global helper.N"),
}


@pytest.mark.parametrize("kind", HIDDEN_STATE)
def test_state_is_found_before_it_shows(tmp_path: Path, kind: str) -> None:
    """A count that would change the loss after a thousand steps only."""
    code, line, place = HIDDEN_STATE[kind]
    (tmp_path / "helper.py").write_text("N = 0\n")
    text = METHOD.replace("SEEN = []", code)
    found = findings(tmp_path / "mine.py", text, LOSS, f"{line}\n        {LOSS}")
    failed = [finding for finding in found if not finding.holds]
    assert [finding.name for finding in failed] == ["keeps_no_state"]
    assert failed[0].reason.startswith(f"{place} differs after other batches")


KEPT = [
    # a memo of one's own making
    (
        "def memo(f):\n    kept = {}\n    def get(key):\n        if key not in kept:\n"
        "            kept[key] = f(key)\n        return kept[key]\n    return get\n"
        "half = memo(lambda x: x / 2)",
        "half(progress)",
    ),
    # objects that hold each other
    (
        "class Node:\n    pass\none, two = Node(), Node()\none.other, two.other = two, one",
        "one.other",
    ),
]


@pytest.mark.parametrize(("code", "line"), KEPT)
def test_what_is_kept_once_is_no_state(tmp_path: Path, code: str, line: str) -> None:
    text = METHOD.replace("SEEN = []", code)
    found = findings(tmp_path / "mine.py", text, LOSS, f"{line}\n        {LOSS}")
    assert [finding.reason for finding in found if not finding.holds] == []


FIRST = [
    (LOSS, f"SEEN.append(1); {LOSS} * len(SEEN)", "the loss differs at a second call"),
    (LOSS, f"logits = logits + torch.rand(()); {LOSS}", "it draws from a global generator"),
    (BIAS, f"{BIAS}\n\n    def predict(self, logits):\n        return logits", "predict returned"),
    (
        BIAS,
        f"{BIAS}\n\n    def phases(self):\n        return (Phase(train='head'),)",
        "did you mean 'heads'?, raised at mine.py:27",
    ),
]


@pytest.mark.parametrize(("old", "new", "words"), FIRST)
def test_the_first_finding_names_the_mistake(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """``run`` tells the first one alone: no comparison of two calls may come before it."""
    found = findings(tmp_path / "mine.py", METHOD, old, new)
    first = next(finding for finding in found if not finding.holds and not finding.advice)
    assert words in first.reason


def test_a_reference_of_a_wrong_type_is_one_advice(tmp_path: Path) -> None:
    line = 'reference = Reference("A, B", "T", "V", 2020, "https://x.org")'
    found = findings(tmp_path / "mine.py", METHOD, line, 'reference = "A, B 2020"')
    failed = [finding for finding in found if not finding.holds]
    assert [finding.reason for finding in failed] == ["reference is str, not a Reference"]
