"""Which weights learn in a phase: trunk, heads and what the method built beside the network."""

from __future__ import annotations

from torch import nn

from ltbench.method import Phase
from ltbench.models.network import ExpertNetwork
from ltbench.request import Part


class Parts:
    """The parts of a network and of the method's ``extra``.

    A parameter whose ``requires_grad`` is False at first is nobody's to train: a momentum copy.
    """

    def __init__(self, network: ExpertNetwork, extra: nn.Module | None) -> None:
        self._network, self.extra = network, extra
        heads = {id(p) for head in network.heads() for p in head.parameters()}
        part_of: dict[int, Part] = {}
        known: dict[int, nn.Parameter] = {}
        for parameter in network.parameters():
            part_of[id(parameter)] = "heads" if id(parameter) in heads else "trunk"
            known[id(parameter)] = parameter
        for parameter in extra.parameters() if extra is not None else ():
            part_of.setdefault(id(parameter), "extra")
            known.setdefault(id(parameter), parameter)
        self._learnable = [(p, part_of[i]) for i, p in known.items() if p.requires_grad]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that ever learn, those of the network first."""
        return [parameter for parameter, _ in self._learnable]

    @property
    def heads(self) -> list[nn.Parameter]:
        """Of :attr:`parameters` those of the heads."""
        return [parameter for parameter, part in self._learnable if part == "heads"]

    @property
    def others(self) -> list[nn.Parameter]:
        """Of :attr:`parameters` those of trunk and extra."""
        return [parameter for parameter, part in self._learnable if part != "heads"]

    @property
    def undecayed(self) -> list[nn.Parameter]:
        """Of :attr:`heads` those that weight decay leaves alone, as the heads themselves say."""
        named = {
            id(getattr(head, name))
            for head in self._network.heads()
            for name in getattr(head, "undecayed", ())
        }
        return [parameter for parameter in self.heads if id(parameter) in named]

    def learn(self, phase: Phase) -> None:
        """Sets what learns in ``phase``, and which BatchNorm layers move their statistics."""
        for parameter, part in self._learnable:
            parameter.requires_grad_(part in phase.parts)
        trunk_learns = "trunk" in phase.parts
        self._network.train(trunk_learns)
        if phase.batchnorm == "adapted" or (trunk_learns and phase.batchnorm == "frozen"):
            for norm in self._norms():
                norm.train(phase.batchnorm == "adapted")
                if phase.batchnorm == "frozen":
                    norm.requires_grad_(False)
        for head in self._network.heads():
            head.train("heads" in phase.parts)
        if self.extra is not None:
            self.extra.train("extra" in phase.parts)

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [m for m in self._network.modules() if isinstance(m, nn.BatchNorm2d)]
