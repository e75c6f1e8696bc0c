"""What every protocol file must keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ltbench.contract.unmet import Property, Unmet, require
from ltbench.data.sources import is_ready, open_data
from ltbench.errors import InputError
from ltbench.protocol.file import load_protocol_config
from ltbench.protocol.protocol import FEATURES, Protocol
from ltbench.registry import Registries
from ltbench.task import build_task


@dataclass(frozen=True)
class ProtocolCase:
    """name: of a protocol or a .toml file; plugins: files that it may extend."""

    name: str
    registries: Registries
    plugins: tuple[str, ...] = ()

    def load(self) -> Protocol:
        try:
            return load_protocol_config(self.name, plugins=self.plugins)
        except InputError as error:
            raise Unmet(str(error)) from None

    def __str__(self) -> str:
        return self.name


def file_is_valid(case: ProtocolCase) -> None:
    """The file is TOML, and every key and value in it is known and in its range."""
    case.load()


def has_version_and_title(case: ProtocolCase) -> None:
    """It has a version, raised when its rules change, and a title for tables."""
    protocol = case.load()
    require(protocol.version.strip(), "version is empty; scores of one version are comparable")
    require(protocol.title.strip(), "title is empty")


def file_is_named_after_it(case: ProtocolCase) -> None:
    """Its file has its name, which `--protocol NAME` finds once installed or beside `--plugin FILE`."""
    protocol = case.load()
    stem = Path(protocol.origin).stem
    require(
        stem.replace("_", "-") == protocol.name.replace("_", "-"),
        f"the file is called {stem!r}, the protocol {protocol.name!r}",
    )


def settings_are_of_known_plugins(case: ProtocolCase) -> None:
    """[methods.X], [strategies.X] and data.source name what is registered, with its settings."""
    protocol = case.load()
    try:
        source = case.registries.sources.get(protocol.data.source).cls
        source.hyper_type.from_mapping(protocol.data.options, "data.options")
        for name, overrides in protocol.methods.items():
            case.registries.methods.get(name).cls.hyper_type.from_mapping(overrides.hyper, name)
        for name, hyper in protocol.strategies.items():
            case.registries.strategies.get(name).cls.hyper_type.from_mapping(hyper, name)
    except InputError as error:
        raise Unmet(str(error)) from None


def other_images_have_their_own_settings(case: ProtocolCase) -> None:
    """What the extended file says of other images is stated anew: normalisation, thresholds."""
    protocol = case.load()
    meanings = {
        "data.mean": "data.mean and data.std: those of the training images are measured",
        "groups.many_above": f"groups.many_above: {protocol.groups.many_above} is the default",
        "groups.few_below": f"groups.few_below: {protocol.groups.few_below} is the default",
        "data.subset": "data.subset: all classes are used",
        "test.subsets": "test.subsets: there are none",
        "test.mixes": "test.mixes: there are none",
    }
    if protocol.data.source == FEATURES:  # nothing normalises them
        del meanings["data.mean"]
    told = [meanings[key] for key in protocol.not_inherited if key in meanings]
    require(
        not told,
        f"not taken over from {protocol.images_unlike}, whose images are others: {'; '.join(told)}",
    )


def images_are_here(case: ProtocolCase) -> None:
    """The images are here, so that the sets below could be tried."""
    protocol = case.load()
    require(
        is_ready(protocol.data, plugins=case.plugins),
        f"`ltbench data prepare {case.name}` gets them; not done by check",
    )


def sets_can_be_drawn(case: ProtocolCase) -> None:
    """There are images enough for the training set and for every test set."""
    protocol = case.load()
    if not is_ready(protocol.data, plugins=case.plugins):
        return
    try:
        task = build_task(protocol, open_data(protocol.data, download=False, plugins=case.plugins))
        for test_set in task.test_sets:
            chosen = test_set.indices(task.splits.test.labels, 0)
            require(len(chosen), f"test set {test_set.name} is empty")
    except InputError as error:
        raise Unmet(str(error)) from None


def every_group_has_a_class(case: ProtocolCase) -> None:
    """Many-, medium- and few-shot classes all exist; an empty group is shown as n/a."""
    protocol = case.load()
    if not is_ready(protocol.data, plugins=case.plugins):
        return
    try:
        groups = build_task(
            protocol, open_data(protocol.data, download=False, plugins=case.plugins)
        ).groups
    except InputError:
        return  # told above
    empty = [name for name, classes in groups.items() if not classes]
    require(not empty, f"no class is {', '.join(empty)}-shot; see [groups]")


PROTOCOL_PROPERTIES: tuple[Property[ProtocolCase], ...] = (
    Property(file_is_valid),
    Property(has_version_and_title),
    Property(file_is_named_after_it),
    Property(settings_are_of_known_plugins),
    Property(other_images_have_their_own_settings, advice=True),
    Property(images_are_here, advice=True),
    Property(sets_can_be_drawn),
    Property(every_group_has_a_class, advice=True),
)
