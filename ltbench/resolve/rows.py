"""A row of the benchmark, resolved: which method, which strategy, with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ltbench.errors import InputError
from ltbench.hyper import Hyper, asking_values
from ltbench.names import Call, Row, format_call
from ltbench.protocol.protocol import MethodOverrides, Protocol
from ltbench.registry import Plugin, Registries
from ltbench.settings import show
from ltbench.trial.asked_code import Code

if TYPE_CHECKING:
    from torch import Tensor

    from ltbench.method import Method
    from ltbench.strategy import Need, Strategy


@dataclass(frozen=True)
class ResolvedRow:
    """``method+strategy`` with all parameters known; ``*_params`` is what departs from the protocol."""

    method: Plugin[Method[Any]]
    hyper: Hyper
    method_params: str
    strategy: Plugin[Strategy[Any]]
    strategy_hyper: Hyper
    strategy_params: str

    @property
    def label(self) -> str:
        """What tables print: the strategy only where it is not the method's own, as it stands."""
        text = format_call(self.method.name, self.method_params)
        own = self.strategy.name == self.method.cls.strategy and not self.strategy_params
        return text if own else f"{text}+{format_call(self.strategy.name, self.strategy_params)}"

    @property
    def needs(self) -> frozenset[Need]:
        """What the strategy, with its settings, is given beyond logits."""
        return self.strategy.cls.needs_with(self.strategy_hyper)

    @property
    def uses_true_prior(self) -> bool:
        return "true_prior" in self.needs

    @property
    def first_draw_only(self) -> bool:
        """A network that runs for every test set is too slow for all draws: draw 0 stands alone."""
        return "network" in self.needs

    @property
    def may_estimate_bias(self) -> bool:
        """Whether the strategy reasons about a bias for which the method states no closed form."""
        from ltbench.method import Method

        return "bias" in self.needs and self.method.cls.bias is Method.bias

    def build_method(self, counts: Tensor) -> Method[Any]:
        return self.method.cls(counts, self.hyper)

    def identity(self) -> dict[str, Any]:
        """The row's part of an evaluation's identity."""
        return {
            "method": [
                self.method.name,
                self.hyper.identity(),
                self.method.cls.version,
                self.method.digest,
            ],
            "strategy": [
                self.strategy.name,
                self.strategy_hyper.identity(),
                self.strategy.cls.version,
                self.strategy.digest,
            ],
        }

    def code_facts(self) -> dict[str, str]:
        """What its records say about whose code it is."""
        return {
            "method_digest": self.method.digest,
            "strategy_digest": self.strategy.digest,
            "method_origin": self.method.origin,
            "strategy_origin": self.strategy.origin,
        }

    def codes(self) -> tuple[Code, Code]:
        method, strategy = self.method, self.strategy
        return (
            Code("method", method.name, method.digest),
            Code("strategy", strategy.name, strategy.digest),
        )

    def to_json(self) -> dict[str, Any]:
        """What a worker needs to resolve the row again."""
        return {
            "method": self.method.name,
            "hyper": self.hyper.to_json(),
            "strategy": self.strategy.name,
            "strategy_hyper": self.strategy_hyper.to_json(),
        }


def resolve_row(row: Row, protocol: Protocol, registries: Registries) -> ResolvedRow:
    """Looks plugins up and merges parameters: defaults, then the protocol's, then the row's own."""
    method = registries.methods.get(row.method.name)
    call = row.strategy or Call(method.cls.strategy)
    strategy = registries.strategies.get(call.name)
    base = protocol.methods.get(method.name, MethodOverrides()).hyper
    hyper, params = _hyper(method.cls.hyper_type, base, row.method)
    base = protocol.strategies.get(strategy.name, {})
    strategy_hyper, strategy_params = _hyper(strategy.cls.hyper_type, base, call)
    return ResolvedRow(method, hyper, params, strategy, strategy_hyper, strategy_params)


def _hyper(kind: type[Hyper], base: Mapping[str, Any], call: Call) -> tuple[Hyper, str]:
    usual = kind.from_mapping(base, call.name)
    hyper = kind.from_mapping({**base, **call.params}, call.name)
    return hyper, departures(hyper, usual)


def departures(hyper: Hyper, usual: Hyper) -> str:
    """``"tau=1,where=loss"``: the parameters in which ``hyper`` departs from ``usual``."""
    before = usual.to_json()
    return ",".join(
        f"{key}={show(value)}" for key, value in hyper.to_json().items() if value != before[key]
    )


def row_from_json(
    value: Mapping[str, Any], protocol: Protocol, registries: Registries
) -> ResolvedRow:
    """The inverse of :meth:`ResolvedRow.to_json`."""
    as_text = {k: str(v) for k, v in value["hyper"].items()}
    strategy_text = {k: str(v) for k, v in value["strategy_hyper"].items()}
    row = Row(Call(value["method"], as_text), Call(value["strategy"], strategy_text))
    return resolve_row(row, protocol, registries)


def check_row(
    row: ResolvedRow, method: Method[Any], *, holdout: bool = False, network: bool = False
) -> None:
    """Refuses, before any work, a strategy that cannot run on this method. One clear line.

    holdout, network: whether the trial has labelled held-out training images, and the trained
    network with the test images.
    """
    needs, experts = row.needs, method.architecture().experts
    if experts < row.strategy.cls.min_experts:
        raise InputError(
            f"{row.label}: strategy {row.strategy.name!r} needs at least "
            f"{row.strategy.cls.min_experts} experts, {row.method.name} has {experts}"
        )
    if "holdout" in needs and not holdout:
        raise InputError(needs_a_holdout(row))
    if "network" in needs and not network:
        raise InputError(needs_the_network(row))
    known = holdout or method.bias() is not None or method.reference_bias() is not None
    if "bias" in needs and not known:
        raise InputError(
            f"{row.label}: strategy {row.strategy.name!r} needs the prior that the logits carry, "
            f"and {row.method.name} has no closed form for it; with `--set train.holdout=0.1` it is "
            "fitted on held-out training images"
        )


def told(row: ResolvedRow, need: Need) -> str:
    """``"'tilt' with temperature=holdout"``: the strategy, and the settings that ask for ``need``."""
    asking = [
        f"{found.setting}={found.value}"
        for found in asking_values(type(row.strategy_hyper))
        if found.need == need and getattr(row.strategy_hyper, found.setting) == found.value
    ]
    if not asking or need in row.strategy.cls.needs:
        return repr(row.strategy.name)
    return f"{row.strategy.name!r} with {', '.join(asking)}"


def needs_a_holdout(row: ResolvedRow) -> str:
    return (
        f"{row.label}: strategy {told(row, 'holdout')} needs labelled training images that were held "
        "out; `--set train.holdout=0.1` trains with a tenth of them held out"
    )


def needs_the_network(row: ResolvedRow) -> str:
    return (
        f"{row.label}: strategy {told(row, 'network')} needs the trained network and clean test "
        "images; stored logits alone and the mode 'augmented' do not offer them"
    )


def shared_row(
    row: ResolvedRow, method: Method[Any], protocol: Protocol, registries: Registries
) -> ResolvedRow:
    """The row that gives the same result under the name of the method that does the training.

    A strategy that does not use ``predict`` sees only logits and bias, so post-hoc logit adjustment
    with it equals cross-entropy with it.
    """
    training, hyper = method.training_identity()
    if training == row.method.name or row.strategy.cls.uses_predict:
        return row
    text = {key: str(value) for key, value in hyper.items()}
    call = Call(row.strategy.name, {k: str(v) for k, v in row.strategy_hyper.to_json().items()})
    return resolve_row(Row(Call(training, text), call), protocol, registries)
