"""The experts of a CIFAR ResNet in one pass: their channels side by side, every convolution in groups.

Let E experts have convolutions with weights W_e and BatchNorms of C channels. On a map of E C channels,
those of expert e at e C to e C + C - 1, a convolution in E groups with the stacked W_e is all of theirs at
once, and a BatchNorm over E C channels, which treats each channel by itself, is all of theirs, running
statistics included. So it is the same function as :meth:`ExpertNetwork.with_features`, summed in another
order: a step launches about one kernel where it launched E.

The parameters stay where they are, under their names: each pass stacks them, two kernels for all of them,
and gradients flow back through the stack. Running statistics are stacked likewise and written back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ltbench.models.blocks import BasicBlock
from ltbench.models.experts import Expert, WholeExpert
from ltbench.models.network import ExpertNetwork
from ltbench.models.resnet import ExpertResNet

M = TypeVar("M", bound=nn.Module)
Outputs = tuple[Tensor, Tensor]


def can_group(network: nn.Module) -> bool:
    """Whether ``network`` has several experts of equal layers that :class:`Grouped` knows.

    Not those that a method's ``build`` made others, nor a BatchNorm without running statistics.
    """
    if type(network) is not ExpertResNet or len(network.experts) < 2:
        return False
    kinds = {type(expert) for expert in network.experts}
    if len(kinds) != 1 or not kinds <= {Expert, WholeExpert}:
        return False
    layers = [[*_layers(expert)] for expert in network.experts]
    plain = all(
        type(conv) is nn.Conv2d and conv.bias is None and type(norm) is nn.BatchNorm2d
        for own in layers
        for conv, norm in own
    )
    if not plain or any(
        type(block) is not BasicBlock for e in network.experts for block in _blocks(e)
    ):
        return False
    shapes = [
        [(tuple(conv.weight.shape), conv.stride, norm.momentum, norm.eps) for conv, norm in own]
        for own in layers
    ]
    tracked = all(
        norm.running_mean is not None and norm.affine for own in layers for _, norm in own
    )
    momenta = all(norm.momentum is not None for own in layers for _, norm in own)
    return tracked and momenta and all(own == shapes[0] for own in shapes)


class Grouped:
    """Images ``(B, 3, H, W)`` to logits ``(B, E, C)`` and features ``(B, E, D)``, as ``network`` does.

    Modes are read at each call: which BatchNorms move, and how, is up to the caller as ever. The BatchNorms
    of one layer must be in the same mode in all experts.
    """

    def __init__(self, network: ExpertNetwork) -> None:
        assert isinstance(network, ExpertResNet)
        self.network = network
        experts = list(network.experts)
        self.experts = len(experts)
        pairs = [[*_layers(expert)] for expert in experts]
        self.convs = [[conv for conv, _ in layer] for layer in zip(*pairs, strict=True)]
        self.norms = [[norm for _, norm in layer] for layer in zip(*pairs, strict=True)]
        self.blocks = list(_blocks(experts[0]))
        self.whole = isinstance(experts[0], WholeExpert)

    def __call__(self, images: Tensor) -> Outputs:
        x = self.network.trunk_of(images)
        layers = _Layers(self)
        shared = True  # the first layer sees one map for all experts
        if self.whole:
            x, shared = F.relu(layers.next(x, 1, padding=1, shared=True)), False
        for block in self.blocks:
            # The convolutions of BasicBlock, its shortcut by groups.
            out = F.relu(layers.next(x, block.stride, padding=1, shared=shared), inplace=True)
            out = layers.next(out, 1, padding=1, shared=False)
            out += self._shortcut(block, x, shared=shared)
            x, shared = F.relu(out, inplace=True), False
        layers.write_back()
        features = x.mean(dim=(2, 3)).view(len(x), self.experts, -1)
        return self.network.through_heads(features.unbind(1))

    def _shortcut(self, block: BasicBlock, x: Tensor, *, shared: bool) -> Tensor:
        if shared:
            return block.shortcut(x).repeat(1, self.experts, 1, 1)
        if block.stride == 1 and block.padding == 0:
            return x
        x = x[:, :, :: block.stride, :: block.stride]
        x = torch.stack(x.chunk(self.experts, dim=1), dim=1)
        return F.pad(x, (0, 0, 0, 0, block.padding, block.padding)).flatten(1, 2)


class _Layers:
    """One pass through the convolutions and BatchNorms of all experts, layer by layer."""

    def __init__(self, grouped: Grouped) -> None:
        self.experts, self.at = grouped.experts, -1
        self.all_norms = grouped.norms
        # In the order (height, width, input) a channels-last weight lies as it is: nothing is moved.
        self.weights = [
            weight.permute(0, 3, 1, 2)
            for weight in _stacked(
                [[c.weight.permute(0, 2, 3, 1) for c in layer] for layer in grouped.convs]
            )
        ]
        self.gammas = _stacked([[norm.weight for norm in layer] for layer in grouped.norms])
        self.betas = _stacked([[norm.bias for norm in layer] for layer in grouped.norms])
        with torch.no_grad():
            self.means = _stacked([_buffers(layer, "running_mean") for layer in grouped.norms])
            self.variances = _stacked([_buffers(layer, "running_var") for layer in grouped.norms])

    def next(self, x: Tensor, stride: int, *, padding: int, shared: bool) -> Tensor:
        """Convolution and BatchNorm of the next layer. shared: ``x`` is one map for all experts."""
        self.at += 1
        i, norm = self.at, self.all_norms[self.at][0]
        groups = 1 if shared else self.experts
        x = F.conv2d(x, self.weights[i], None, stride, padding, groups=groups)
        follows = norm.track_running_stats or not norm.training
        return F.batch_norm(
            x,
            self.means[i] if follows else None,
            self.variances[i] if follows else None,
            self.gammas[i],
            self.betas[i],
            norm.training,
            norm.momentum if norm.momentum is not None else 0.0,
            norm.eps,
        )

    def write_back(self) -> None:
        """Running statistics to where they belong, of the BatchNorms that moved them."""
        moved = [
            i
            for i, layer in enumerate(self.all_norms)
            if layer[0].training and layer[0].track_running_stats
        ]
        if not moved:
            return
        mine: list[Tensor] = []
        theirs: list[Tensor] = []
        for i in moved:
            for name, values in (("running_mean", self.means), ("running_var", self.variances)):
                theirs += _buffers(self.all_norms[i], name)
                mine += values[i].chunk(self.experts)
        with torch.no_grad():
            torch._foreach_copy_(theirs, mine)
            counters = [
                b for i in moved for b in _buffers(self.all_norms[i], "num_batches_tracked")
            ]
            torch._foreach_add_(counters, 1)


def _stacked(layers: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """For each layer the tensors of its experts, one after another along dim 0; one kernel for all."""
    flat = torch.cat([each.reshape(-1) for layer in layers for each in layer])
    sizes = [sum(each.numel() for each in layer) for layer in layers]
    parts = torch.split(flat, sizes)
    return [part.view(-1, *layer[0].shape[1:]) for part, layer in zip(parts, layers, strict=True)]


def _buffers(norms: Sequence[nn.BatchNorm2d], name: str) -> list[Tensor]:
    return [getattr(norm, name) for norm in norms]


def _blocks(expert: nn.Module) -> Iterator[BasicBlock]:
    assert isinstance(expert, Expert)
    if isinstance(expert, WholeExpert):
        yield from expert.stem.stage1  # type: ignore[misc]
    yield from expert.stage2  # type: ignore[misc]
    yield from expert.stage3  # type: ignore[misc]


def _layers(expert: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions, each with the BatchNorm that sees what it puts out, in the order of the pass."""
    if isinstance(expert, WholeExpert):
        yield expert.stem.conv, expert.stem.bn
    for block in _blocks(expert):
        yield block.conv1, block.bn1
        yield block.conv2, block.bn2


def forward_of(network: ExpertNetwork, *, grouped: bool) -> Callable[[Tensor], Outputs]:
    """Images to logits and features, in one pass over the experts where ``grouped``."""
    return Grouped(network) if grouped else network.with_features
