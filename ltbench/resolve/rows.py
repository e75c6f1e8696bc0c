"""A row of the benchmark, resolved: which method, which strategy, with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ltbench.errors import InputError
from ltbench.hyper import Hyper, asking_values
from ltbench.names import Call, Row, format_call
from ltbench.protocol.protocol import Protocol
from ltbench.registry import Plugin, Registries
from ltbench.resolve.methods import resolve_hyper, resolve_method
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
    copies: int | None = None
    """How often an ensemble was asked for, as in ``3*ce``; its members are those of the method."""
    optional: bool = field(default=False, compare=False)
    """Whether it is asked for as one of ``all``."""

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
    def file_name(self) -> str:
        """The method's name where no ``*`` may stand: ``3xce``."""
        return self.method.name.replace("*", "x")

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
        from ltbench.resolve.ensembles import members_of

        methods = [member.method for member in members_of(self.method)] or [self.method]
        estimates = any(
            method.cls.bias is Method.bias and method.cls.posterior is Method.posterior
            for method in methods
        )
        return "bias" in self.needs and estimates

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
                *self._members_identity(),
            ],
            "strategy": [
                self.strategy.name,
                self.strategy_hyper.identity(),
                self.strategy.cls.version,
                self.strategy.digest,
            ],
        }

    def _members_identity(self) -> list[Any]:
        """Of an ensemble alone: what its name stands for."""
        from ltbench.resolve.ensembles import members_of

        members = [member.identity() for member in members_of(self.method)]
        return [{"members": members}] if members else []

    def code_facts(self) -> dict[str, str]:
        """What its records say about whose code it is."""
        return {
            "method_digest": self.method.digest,
            "strategy_digest": self.strategy.digest,
            "method_origin": self.method.origin,
            "strategy_origin": self.strategy.origin,
        }

    def codes(self) -> tuple[Code, ...]:
        """Of the method, of the strategy, and of an ensemble's members."""
        from ltbench.resolve.ensembles import members_of

        method, strategy = self.method, self.strategy
        return (
            Code("method", method.name, method.digest),
            Code("strategy", strategy.name, strategy.digest),
            *(Code("method", m.method.name, m.method.digest) for m in members_of(method)),
        )

    @property
    def _asked_name(self) -> str:
        return self.method.name.partition("*")[2] or self.method.name

    def to_json(self) -> dict[str, Any]:
        """What a worker needs to resolve the row again."""
        return {
            "method": self._asked_name,
            "hyper": self.hyper.to_json(),
            "copies": self.copies,
            "strategy": self.strategy.name,
            "strategy_hyper": self.strategy_hyper.to_json(),
        }


def resolve_row(row: Row, protocol: Protocol, registries: Registries) -> ResolvedRow:
    """Looks plugins up and merges parameters: defaults, then the protocol's, then the row's own."""
    method, hyper, params = _resolve_method(row, protocol, registries)
    call = row.strategy or Call(method.cls.strategy)
    strategy = registries.strategies.get(call.name)
    base = protocol.strategies.get(strategy.name, {})
    strategy_hyper, strategy_params = resolve_hyper(strategy.cls.hyper_type, base, call)
    return ResolvedRow(
        method, hyper, params, strategy, strategy_hyper, strategy_params, row.copies, row.optional
    )


def _resolve_method(
    row: Row, protocol: Protocol, registries: Registries
) -> tuple[Plugin[Method[Any]], Hyper, str]:
    """One network, several of a kind (``3*ce``) or an ensemble that the protocol names."""
    if row.method.name in protocol.ensembles:
        from ltbench.resolve.mixtures import named_ensemble

        return named_ensemble(row, protocol, registries)
    method, hyper, params = resolve_method(row.method, protocol, registries)
    if row.copies is not None:
        from ltbench.resolve.mixtures import copies_of

        method = copies_of(row.copies, method, hyper, params)
    return method, hyper, params


def row_from_json(
    value: Mapping[str, Any], protocol: Protocol, registries: Registries
) -> ResolvedRow:
    """The inverse of :meth:`ResolvedRow.to_json`."""
    as_text = {k: str(v) for k, v in value["hyper"].items()}
    strategy_text = {k: str(v) for k, v in value["strategy_hyper"].items()}
    strategy = Call(value["strategy"], strategy_text)
    row = Row(Call(value["method"], as_text), strategy, value["copies"])
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
    _check_classes(row, method, len(method.counts), holdout=holdout)
    if "holdout" in needs and not holdout:
        raise InputError(needs_a_holdout(row))
    if "network" in needs and not network:
        raise InputError(needs_the_network(row))
    known = holdout or knows_posterior(method) or method.reference_bias() is not None
    if "bias" in needs and not known:
        raise InputError(
            f"{row.label}: strategy {row.strategy.name!r} needs the prior that the logits carry, "
            f"and {row.method.name} has no closed form for it; with `--set train.holdout=0.1` it is "
            "fitted on held-out training images"
        )


MOST_FITTED = 2000
"""Classes of which a logit bias is fitted: its covariance is a table of classes by classes."""


def _check_classes(row: ResolvedRow, method: Method[Any], classes: int, *, holdout: bool) -> None:
    """Refuses what would take gigabytes and hours for a table of classes by classes."""
    most = row.strategy.cls.max_classes
    if most is not None and classes > most:
        raise InputError(
            f"{row.label}: strategy {row.strategy.name!r} works with a table of classes by classes: at "
            f"most {most:,} classes, there are {classes:,}; em and tilt have no such limit"
        )
    if "bias" in row.needs and holdout and classes > MOST_FITTED and not knows_posterior(method):
        raise InputError(
            f"{row.label}: {row.method.name} has no closed form of the prior that its logits carry, and "
            f"it is fitted for at most {MOST_FITTED:,} classes, there are {classes:,}"
        )


def knows_posterior(method: Method[Any]) -> bool:
    """Whether bias or posterior are known exactly, of every member where it is an ensemble."""
    from ltbench.method import overrides
    from ltbench.resolve.ensembles import EnsembleMethod

    if isinstance(method, EnsembleMethod):
        return all(map(knows_posterior, method.parts))
    return method.bias() is not None or overrides(method, "posterior")


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
    with it equals cross-entropy with it, and an ensemble of it one of cross-entropy.
    """
    if row.strategy.cls.uses_predict:
        return row
    if row.copies is not None:
        if row._asked_name not in registries.methods.plugins:
            return row  # a mixture is what its name says
        from ltbench.resolve.ensembles import members_of

        method = members_of(row.method)[0].build(method.counts)
    training, hyper = method.training_identity()
    if training == row._asked_name:
        return row
    text = {key: str(value) for key, value in hyper.items()}
    call = Call(row.strategy.name, {k: str(v) for k, v in row.strategy_hyper.to_json().items()})
    shared = Row(Call(training, text), call, row.copies, row.optional)
    return resolve_row(shared, protocol, registries)
