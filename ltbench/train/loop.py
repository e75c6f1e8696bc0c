"""The only training loop: every method runs through it, on the CPU or on one accelerator."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ltbench.errors import ContractError, DivergedError, InputError, InterruptedRun, LtbenchError
from ltbench.method import Method
from ltbench.models.assemble import assemble, build_extra
from ltbench.models.build import Wanted
from ltbench.models.grouped import can_group, forward_of
from ltbench.models.network import ExpertNetwork
from ltbench.models.pretrained import PretrainedFile, start_from_file
from ltbench.protocol.protocol import Recipe
from ltbench.request import View, sampler_exponent
from ltbench.seeds import generator, seed_for
from ltbench.settings import identity_of
from ltbench.sgd import SGD
from ltbench.train.arithmetic import IEEE, tf32, tf32_flags
from ltbench.train.batches import batch_bounds, check_batches, smallest_batch
from ltbench.train.checkpoint import NOT_RECORDED, Progress, load_checkpoint, save_checkpoint
from ltbench.train.compiling import compiled
from ltbench.train.divided_step import DividedStep
from ltbench.train.division import divide
from ltbench.train.feature_start import begin_on_features
from ltbench.train.feed import Feed, ResidentFeed
from ltbench.train.frozen_feed import FeatureFeed, FeatureRows
from ltbench.train.given import Given, Ticket
from ltbench.train.parts import Parts
from ltbench.train.phases import PhaseSpan, phase_spans
from ltbench.train.precision import check_precision
from ltbench.train.sampler import epoch_order
from ltbench.train.schedule import phase_rate
from ltbench.train.speed import PLAIN, Speed
from ltbench.train.step import GraphedStep, Step
from ltbench.train.streamed import Streamed, StreamedFeed
from ltbench.train.team import ALONE, Team

CHECKPOINT_SECONDS = 15.0
"""A checkpoint is written after an epoch once this much time has passed since the last one; of a
streamed training after any step."""
_SAVING = 20
"""Within an epoch a checkpoint waits for so many times what the last one took: a twentieth goes there."""


@dataclass(frozen=True)
class TrainingJob:
    """Everything one training needs. images: ``(N, 3, H, W)`` uint8, or where to open them one by one, or
    frozen features; labels: ``(N,)`` int64."""

    trial: str
    method: Method[Any]
    recipe: Recipe
    backbone: Wanted
    images: Tensor | Streamed | FeatureRows
    labels: Tensor
    mean: Tensor
    std: Tensor
    seed: int
    device: torch.device
    precision: str = "float32"
    speed: Speed = PLAIN
    """As asked for; what has nothing to work on in this network is left out."""
    folder: Path | None = None
    before: tuple[Method[Any], ...] = ()
    """The methods of the networks that it starts from, oldest first."""
    start: Mapping[str, Tensor] | None = None
    """The trained weights of the last of these; None: it starts from fresh ones."""
    pretrained: PretrainedFile | None = None
    """Weights for a network that would start from fresh ones."""
    teacher: nn.Module | None = None
    """Normalised images to logits, on the device."""
    init: str = "random"
    """Of heads on frozen features: ``random``, ``class-mean`` or ``text``."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    accumulate: int = 1
    """Parts in which a process works off its share of a batch."""
    team: Team = ALONE
    """The processes that train together; the first one reports and writes."""

    def feed(self, *, one_kernel: bool = False) -> Feed:
        """one_kernel: crop, flip, rotation and normalisation of a batch are compiled into one."""
        if isinstance(self.images, FeatureRows):
            return FeatureFeed(self.images, self.seed, self.device)
        rest = (self.recipe, self.mean, self.std, self.seed, self.device, one_kernel)
        if isinstance(self.images, Streamed):
            return StreamedFeed(self.images, *rest)
        return ResidentFeed(self.images, *rest)


@dataclass
class Hooks:
    """What the loop reports to and asks; the defaults do nothing."""

    on_epoch: Callable[[dict[str, Any]], None] = field(default=lambda record: None)
    should_stop: Callable[[], bool] = field(default=lambda: False)


def train(
    job: TrainingJob, hooks: Hooks, environment: dict[str, Any]
) -> tuple[ExpertNetwork, Progress]:
    """As :func:`_train`, telling what decides the last bits on a GPU."""
    if job.device.type == "cuda":
        with tf32(convolutions=job.precision != IEEE):
            environment = environment | cuda_facts()
    return _train(job, hooks, environment)


def cuda_facts() -> dict[str, Any]:
    """What decides the last bits on a GPU besides its name: told with the environment."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    return {
        "tf32": tf32_flags(),
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "deterministic": deterministic or torch.backends.cudnn.deterministic,
    }


def _train(
    job: TrainingJob, hooks: Hooks, environment: dict[str, Any]
) -> tuple[ExpertNetwork, Progress]:
    """Trains to the last epoch, resuming from the folder's checkpoint where there is one.

    Nothing is selected on any data: the last epoch counts. Raises :class:`DivergedError` for a loss
    that is not finite, :class:`ContractError` for a method that breaks its contract,
    :class:`InterruptedRun` (checkpoint written) when asked to stop.
    """
    classes = len(job.method.counts)
    lineage = [*job.before, job.method]
    network = assemble(job.backbone, classes, lineage, generator("network", job.seed), job.device)
    images = job.images
    if job.precision == "bf16" and not isinstance(images, FeatureRows):
        size = images.image_size if isinstance(images, Streamed) else images.shape[-1]
        check_precision(network, size, job.device)
    if job.start is not None:
        network.load_state_dict(dict(job.start))
    elif job.pretrained is not None:
        start_from_file(network, job.pretrained)
    elif isinstance(images, FeatureRows):
        begin_on_features(network, images, job.labels, classes, job.init)
    if job.teacher is not None:
        job.method.teacher = job.teacher
    extra = build_extra(job.method, network, seed_for("build", job.seed))
    spans = _spans(job)
    if not spans:  # there may be no weight at all that an optimiser could have
        return network, Progress(environments=[{**environment, **PLAIN.facts()}])
    parts = Parts(network, extra)
    speed = job.speed.where(groupable=can_group(network), moves=_moves(job))
    optimizer = _optimizer(parts, job.recipe, job.device, in_tensor=speed.cuda_graph)
    progress = Progress()
    # The first process first: it puts a damaged file aside.
    for rank in range(job.team.size):
        if job.folder is not None and rank == job.team.rank:
            progress = load_checkpoint(job.folder, job.trial, network, optimizer, extra) or progress
        job.team.wait()
    check_agreed(job.team, progress)
    environment = {**environment, **speed.facts()}
    refused = progress.not_recorded  # by the process before, which told so
    if speed.cuda_graph and speed.gives_up and refused:
        speed = dataclasses.replace(speed, cuda_graph=False)
        environment |= {"cuda_graph": False, NOT_RECORDED: refused}
    if environment not in progress.environments:
        progress.environments.append(environment)
    loop = _Loop(job, hooks, network, parts, optimizer, progress, speed)
    try:
        for span in spans:
            if span.start + span.epochs <= progress.epochs_done:
                continue
            # Not when resuming in the middle of the phase.
            if progress.epochs_done == span.start and progress.step == 0:
                optimizer.state.clear()
                if span.phase.reset_heads:
                    _reset_heads(job, network, span)
            loop.run(span)
    finally:
        loop.feed.close()
    return network, progress


def check_agreed(team: Team, progress: Progress) -> None:
    """Raises :class:`LtbenchError` where the processes read different checkpoints."""
    mine = [progress.epochs_done, progress.step]
    told = team.agree_on(mine)
    if told != mine:
        raise LtbenchError(
            f"process {team.rank + 1} of the trial read a checkpoint after epoch {mine[0]}, step {mine[1]}, "
            f"the first one after epoch {told[0]}, step {told[1]}; do both see one folder?"
        )


def _spans(job: TrainingJob) -> tuple[PhaseSpan, ...]:
    """None for a network that is taken as its parent left it, or whose heads are features of names."""
    try:
        if (job.start is not None or job.method.needs_text) and job.method.phases() == ():
            return ()
        return phase_spans(job.method.phases(), job.recipe.epochs)
    except ContractError as error:
        raise ContractError(f"method {job.method.name!r}: {error}") from None


def _reset_heads(job: TrainingJob, network: ExpertNetwork, span: PhaseSpan) -> None:
    for i, head in enumerate(network.heads()):
        if not callable(getattr(head, "reset", None)):
            raise ContractError(
                f"method {job.method.name!r}: phase {span.phase.name!r} resets the heads, and the head "
                f"{type(head).__name__} that build made has no reset(generator)"
            )
        head.reset(generator("heads", job.seed, span.start, i))  # type: ignore[operator]
    if isinstance(job.images, FeatureRows):  # fresh weights are those that the protocol begins with
        begin_on_features(network, job.images, job.labels, len(job.method.counts), job.init)


def _moves(job: TrainingJob) -> bool:
    """Whether the recipe moves pixels and does no more to them, so that one kernel can do it."""
    recipe = job.recipe
    plain = not isinstance(job.images, FeatureRows) and not recipe.augment
    return plain and bool(recipe.crop_padding or recipe.flip or recipe.rotation)


def _optimizer(parts: Parts, recipe: Recipe, device: torch.device, *, in_tensor: bool) -> SGD:
    """``scale`` of a group: its learning rate over that of the rest. in_tensor: rates are tensors on the
    device, which a recorded step reads anew each time."""
    groups: list[nn.Parameter] | list[dict[str, Any]] = parts.parameters
    if recipe.head_lr is not None or parts.undecayed:
        scale = 1.0 if recipe.head_lr is None else recipe.head_lr / recipe.lr
        decayed = [each for each in parts.heads if all(each is not p for p in parts.undecayed)]
        every: list[dict[str, Any]] = [
            {"params": parts.others, "scale": 1.0},
            {"params": decayed, "scale": scale},
            {"params": parts.undecayed, "scale": scale, "weight_decay": 0.0},
        ]
        groups = [group for group in every if group["params"]]
    if in_tensor:
        listed = groups if groups and isinstance(groups[0], dict) else [{"params": groups}]
        # One for each group, float32 as fused SGD asks for.
        groups = [{**g, "lr": torch.tensor(recipe.lr, device=device)} for g in listed]
    return SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.uses_nesterov,
        weight_decay=recipe.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """``lr`` for every group, times its ``scale``; into the tensor where the rate is one."""
    for group in optimizer.param_groups:
        rate = lr * group.get("scale", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


_Pair: TypeAlias = tuple[Ticket, Ticket | None]


class _Loop:
    began = before = 0.0
    """When this process began with the epoch that is under way; seconds that others spent on it."""

    def __init__(
        self,
        job: TrainingJob,
        hooks: Hooks,
        network: ExpertNetwork,
        parts: Parts,
        optimizer: SGD,
        progress: Progress,
        speed: Speed,
    ) -> None:
        self.job, self.hooks, self.network, self.parts = job, hooks, network, parts
        self.optimizer, self.progress = optimizer, progress
        self.batches: list[slice] = []
        self.shares: list[slice] = []
        self.feed: Feed = job.feed(one_kernel=speed.compiled_augmentation)
        self.division = divide(job.recipe, job.team.size, job.accumulate)
        forward = forward_of(network, grouped=speed.grouped_experts)
        made = (
            network,
            compiled(forward) if speed.compile else forward,
            optimizer,
            job.method,
            self.feed,
            job.labels.to(job.device),
            job.precision == "bf16",
        )
        step = Step(*made) if self.division.whole else DividedStep(*made, self.division, job.team)
        self.plain_step = step
        self.step = GraphedStep(step, gives_up=speed.gives_up) if speed.cuda_graph else step
        self.saved_epoch = progress.epochs_done
        self.saved_at = time.monotonic()
        self.saving = 0.0  # seconds that the last checkpoint took

    def run(self, span: PhaseSpan) -> None:
        self._freeze(span)
        self._cut_into_batches()
        for epoch in range(max(span.start, self.progress.epochs_done), span.start + span.epochs):
            self.began, self.before = time.monotonic(), self.progress.seconds_within
            lr = phase_rate(self.job.recipe, span.phase, epoch - span.start, span.epochs)
            # PyTorch's default, or never. Between epochs other trials of this process have their turn.
            with tf32(convolutions=self.job.precision != IEEE):
                loss = self._epoch(span, epoch, lr)
            seconds = self.before + time.monotonic() - self.began
            self._tell_refusal()
            record = {"epoch": epoch + 1, "loss": loss, "lr": lr, "seconds": round(seconds, 4)}
            self.progress.finish_epoch(epoch, seconds)
            self.progress.history.append(record)
            self._checkpoint()
            self.hooks.on_epoch(record)
            if self._stops() and epoch + 1 < self.job.recipe.epochs:
                self._checkpoint(force=True)
                raise InterruptedRun(f"stopped after epoch {epoch + 1} of {self.job.recipe.epochs}")

    def _tell_refusal(self) -> None:
        """Where steps could not be recorded, the record says so instead of what was tried."""
        if isinstance(self.step, GraphedStep) and self.step.refused:
            told = {"cuda_graph": False, NOT_RECORDED: self.step.refused}
            self.progress.environments[-1] = self.progress.environments[-1] | told
            self.step = self.plain_step

    def _freeze(self, span: PhaseSpan) -> None:
        self.parts.learn(span.phase)
        self.plain_step.phase = span.phase.name
        if isinstance(self.step, GraphedStep):
            self.step.new_phase()

    def _cut_into_batches(self) -> None:
        images, size = len(self.job.labels), self.job.recipe.batch_size
        self.batches = batch_bounds(images, size)
        smallest = 1
        group = self.job.recipe.norm_batch or size
        if images % size % group == 1 or 1 in (size, group, images):
            pixels = self.feed.image_size
            smallest = smallest_batch(self.network, pixels)
            self.batches = batch_bounds(images, size, smallest=smallest)
            check_batches(self.batches, smallest, pixels)
            if group < smallest:
                raise InputError(
                    f"recipe.norm_batch = {group} is too small for images of {pixels} x {pixels} pixels: at "
                    "the last stage BatchNorm would have one value of a channel"
                )
        if isinstance(self.plain_step, DividedStep):
            self.plain_step.smallest = smallest
        self.shares = [
            slice(batch.start + share.start, batch.start + share.stop)
            for batch in self.batches
            for share in [self._share(batch.stop - batch.start, smallest)]
        ]

    def _share(self, images: int, smallest: int) -> slice:
        """Of a batch what this process works on."""
        return self.division.shares(images, smallest)[self.job.team.rank]

    def _epoch(self, span: PhaseSpan, epoch: int, lr: float) -> float:
        """One pass over the training images; the mean loss. One synchronisation, at its end."""
        job = self.job
        rng = generator("method", job.seed, epoch)
        draw_rng = generator("draw", job.seed, epoch)
        orders = [self._order(span.phase.exponent, epoch)]
        first = self._tickets(orders[0], span.phase.views, epoch)
        second: Iterator[Ticket | None] = repeat(None)
        if span.phase.second is not None:
            orders.append(self._order(sampler_exponent(span.phase.second), epoch, "second"))
            second = self._tickets(orders[1], span.phase.views[:1], epoch, "second")
        set_rate(self.optimizer, lr)
        progress = epoch / job.recipe.epochs
        losses: list[Tensor] = []
        if self.progress.step:
            within = self.progress.within
            losses = list(within["losses"].to(job.device).unbind())
            rng.set_state(within["rng"])
            draw_rng.set_state(within["draw_rng"])
        pairs = self._waited_for(zip(first, second, strict=False))
        for batch, (one, other) in zip(self.batches[self.progress.step :], pairs, strict=True):
            drawn = job.method.draw(batch.stop - batch.start, progress=progress, rng=draw_rng)
            given = Given(
                one,
                other,
                tuple(each.to(job.device) for each in checked_draws(drawn, job.method)),
                tuple(order[batch] for order in orders) if job.team.size > 1 else (),
            )
            losses.append(self.step(given, progress, rng))
            if self.feed.streamed:
                self._keep(epoch, losses, rng, draw_rng)
            # With a checkpoint of the last epoch in hand there is nothing to wait for.
            elif self._stops(self.saved_epoch == epoch):
                raise InterruptedRun(f"stopped after epoch {epoch} of {job.recipe.epochs}")
        return self._mean_loss(torch.stack(losses), epoch, lr)

    def _stops(self, may: bool = True) -> bool:
        """Whether all processes end here: the first one decides."""
        return self.job.team.agree(may and self.hooks.should_stop())

    def _order(self, exponent: float, epoch: int, *name: str) -> Tensor:
        """The images of an epoch's stream; ``name`` tells it from the first one."""
        rng = generator("order", self.job.seed, epoch, *name)
        return epoch_order(self.job.labels, exponent, rng).to(self.job.device)

    def _tickets(
        self, order: Tensor, views: tuple[View, ...], epoch: int, *name: str
    ) -> Iterator[Ticket]:
        """This process's share of the batches of a stream; where it has no image, an empty one."""
        shares = self.shares[self.progress.step :]
        busy = [share for share in shares if share.stop > share.start]
        size = self.feed.image_size
        nothing = torch.empty((0, 3, size, size), dtype=torch.uint8, device=order.device)
        idle = Ticket(order[:0], (nothing,) * len(views), nothing)
        tickets = self.feed.tickets(epoch, order, busy, views, *name)
        return chain(tickets, repeat(idle, len(shares) - len(busy)))

    def _waited_for(self, given: Iterator[_Pair]) -> Iterator[_Pair]:
        """The same; of a streamed feed it is measured how long steps wait for their images."""
        if not self.feed.streamed:
            yield from given
            return
        while True:
            began = time.monotonic()
            pair = next(given, None)
            self.progress.waited += time.monotonic() - began
            if pair is None:
                return
            yield pair

    def _keep(
        self,
        epoch: int,
        losses: list[Tensor],
        rng: torch.Generator,
        draw_rng: torch.Generator,
    ) -> None:
        """Between two steps of an epoch: a checkpoint where one is due, and the end where it is asked for.

        What the next step needs besides weights and momentum is small, since order and augmentation
        are functions of epoch and place.
        """
        step, stop = len(losses), self._stops()
        passed = time.monotonic() - self.saved_at
        due = passed >= max(self.job.checkpoint_seconds, _SAVING * self.saving)
        if step == len(self.batches) or not (due or stop):
            return  # after the last step the end of the epoch decides
        self.progress.step = step
        self.progress.within = {
            "losses": torch.stack(losses).float().cpu(),
            "rng": rng.get_state(),
            "draw_rng": draw_rng.get_state(),
        }
        self.progress.seconds_within = self.before + time.monotonic() - self.began
        self._save()
        if stop:
            raise InterruptedRun(
                f"stopped in epoch {epoch + 1} of {self.job.recipe.epochs}, after step {step}"
            )

    def _mean_loss(self, losses: Tensor, epoch: int, lr: float) -> float:
        values = losses.double().cpu()
        name = self.job.method.name
        bad = torch.nonzero(~torch.isfinite(values)).flatten()
        if len(bad):
            step = int(bad[0])
            raise diverged(name, f"loss is {values[step].item()}", epoch + 1, step + 1, lr)
        wrong = first_not_finite(self.parts.parameters)
        if wrong is not None:  # the loss of the next step would tell, if there were one
            raise diverged(name, f"a weight is {wrong} after the step", epoch + 1, len(values), lr)
        mean = values.mean().item()
        assert math.isfinite(mean)
        return mean

    def _checkpoint(self, force: bool = False) -> None:
        job = self.job
        done = self.progress.epochs_done
        due = time.monotonic() - self.saved_at >= job.checkpoint_seconds
        if job.folder is None or self.saved_epoch == done:
            return
        if force or due or done == job.recipe.epochs:
            self._save()
            self.saved_epoch = done

    def _save(self) -> None:
        job, began = self.job, time.monotonic()
        if job.folder is not None and job.team.rank == 0:
            save_checkpoint(
                job.folder,
                job.trial,
                self.network,
                self.optimizer,
                self.progress,
                self.parts.extra,
                keep_last=self.feed.streamed,
            )
        self.saved_at = time.monotonic()
        self.saving = self.saved_at - began


def checked_draws(drawn: object, method: Method[Any]) -> tuple[Tensor, ...]:
    """Raises :class:`ContractError` unless ``drawn`` is what the contract of ``draw`` says."""
    if not isinstance(drawn, tuple) or not all(isinstance(each, Tensor) for each in drawn):
        raise ContractError(
            f"method {method.name!r}: draw returned {type(drawn).__name__}; expected a tuple of tensors"
        )
    return drawn


def diverged(name: str, what: str, epoch: int, step: int, lr: float) -> DivergedError:
    """The error of the method ``name`` in 1-based ``epoch`` and ``step``; ``what``: "loss is nan"."""
    last = f"epoch {epoch - 1}" if epoch > 1 else "none"
    return DivergedError(
        f"method {name!r}: {what} in epoch {epoch}, step {step}, learning rate {lr:g} "
        f"(last good epoch: {last}); expected a finite number",
        epoch,
        step,
        lr,
    )


def first_not_finite(weights: Iterable[nn.Parameter]) -> float | None:
    """The first weight that is NaN or infinite; None where all are finite. One synchronisation."""
    parameters = [parameter.detach() for parameter in weights]
    if torch.stack([torch.isfinite(each).all() for each in parameters]).all():
        return None
    return next(e[~torch.isfinite(e)][0].item() for e in parameters if not torch.isfinite(e).all())


def check_outputs(job: TrainingJob, outputs: Tensor, history: list[dict[str, Any]]) -> None:
    """Raises :class:`DivergedError` where logits of the trained network are not finite.

    Finite weights may be so large, or a BatchNorm's statistics so wrong, that what they compute is
    not a number; the last step is the one to blame.
    """
    wrong = outputs[~torch.isfinite(outputs)]
    if len(wrong) and not history:
        raise ContractError(
            f"method {job.method.name!r}: a logit is {wrong[0].item()} though nothing was trained; "
            "expected a finite number"
        )
    if len(wrong):
        epochs, size = job.recipe.epochs, job.recipe.batch_size
        steps = len(batch_bounds(len(job.labels), size))
        what = f"a logit is {wrong[0].item()} after the last step"
        raise diverged(job.method.name, what, epochs, steps, history[-1]["lr"])


def resolved_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON, for the record; what came later and is not used is not told."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in identity_of(recipe).items()}
