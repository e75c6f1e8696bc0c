"""BibTeX of everything that the records of a results folder stand on."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ltbench.errors import InputError
from ltbench.files import write_text
from ltbench.report.records.read import read_records
from ltbench.report.records.schema import Evaluation
from ltbench.version import __version__

if TYPE_CHECKING:
    from ltbench.method import Reference


@dataclass(frozen=True)
class Entry:
    """One BibTeX entry; used_by: what it is cited for."""

    kind: str
    author: str
    title: str
    venue: str
    year: int
    url: str
    used_by: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """``zhang2022selfsupervised``: first author, year, first word of the title."""
        author = re.split(r"[ ,{}]+", _ascii(self.author).lower().strip("{} "))[0]
        word = re.sub(r"[^a-z0-9]", "", _ascii(self.title).lower().split()[0].strip(":"))
        return f"{author}{self.year or ''}{word}"

    def render(self) -> str:
        place = {"inproceedings": "booktitle", "article": "journal", "misc": "howpublished"}
        fields = [
            ("author", _escape(self.author)),
            ("title", "{" + _escape(self.title) + "}"),
            (place[self.kind], _escape(self.venue)),
            ("year", str(self.year or "")),
            ("url", self.url),
        ]
        inside = "".join(f"  {name} = {{{value}}},\n" for name, value in fields if value)
        comment = f"% {', '.join(self.used_by)}\n" if self.used_by else ""
        return f"{comment}@{self.kind}{{{self.key},\n{inside}}}\n"


_CIFAR = Entry(
    "misc",
    "Krizhevsky, Alex",
    "Learning multiple layers of features from tiny images",
    "Technical report, University of Toronto",
    2009,
    "https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf",
)
_DIGITS = Entry(
    "misc",
    "Alpaydin, Ethem and Kaynak, Cenk",
    "Optical recognition of handwritten digits",
    "UCI Machine Learning Repository",
    1998,
    "https://doi.org/10.24432/C50P49",
)
_SKLEARN = Entry(
    "article",
    "Pedregosa, Fabian and Varoquaux, Gael and Gramfort, Alexandre and others",
    "Scikit-learn: machine learning in Python",
    "Journal of Machine Learning Research",
    2011,
    "https://jmlr.org/papers/v12/pedregosa11a.html",
)
_LDAM = Entry(
    "inproceedings",
    "Cao, Kaidi and Wei, Colin and Gaidon, Adrien and Arechiga, Nikos and Ma, Tengyu",
    "Learning imbalanced datasets with label-distribution-aware margin loss",
    "NeurIPS",
    2019,
    "https://arxiv.org/abs/1906.07413",
)
_SADE = Entry(
    "inproceedings",
    "Zhang and Hooi and Hong and Feng",
    "Self-supervised aggregation of diverse experts for test-agnostic long-tailed recognition",
    "NeurIPS",
    2022,
    "https://arxiv.org/abs/2107.09249",
)
_DATA = {"cifar10": (_CIFAR,), "cifar100": (_CIFAR,), "digits": (_DIGITS, _SKLEARN)}


def _source_of(evaluation: Evaluation, known: Mapping[str, str]) -> str:
    """Of frozen features the source of the images they were made of, where a record here tells it.

    known: sources by the fingerprint of their training images.
    """
    trial = evaluation.trial
    return known.get(trial.images_fingerprint, trial.source)


def write_bibliography(results: Path, file: Path, protocol: str | None = None) -> list[str]:
    """Writes the BibTeX of every method, strategy, data set and protocol in the records.

    Returns what has no reference. Raises :class:`InputError` where there is no record or ``file``
    cannot be written.
    """
    records = read_records(results)
    used = [e for e in records.evaluations if protocol in (None, e.protocol.name)]
    if not used:
        raise InputError(f"no readable evaluation under {results}; there is nothing to cite")
    rows = sorted(
        {(name, e.strategy, e.trial.training.origin) for e in used for name in _methods(e)}
    )
    known = {e.train_fingerprint: e.trial.source for e in records.evaluations}
    sources = {(e.protocol.name, _source_of(e, known)) for e in used}
    entries, missing = _of_rows(rows)
    for name, source in sorted(sources):
        for entry in _DATA.get(source, ()):
            entries.append(_used(entry, f"data of {name}"))
        if source not in _DATA:
            missing.append(f"the data of {name} ({source or 'source not recorded'})")
        else:
            entries.append(_used(_LDAM, f"training set of {name}"))
            entries.append(_used(_SADE, f"test distributions of {name}"))
    entries.append(
        Entry(
            "misc",
            "{The ltbench developers}",
            "ltbench: a benchmark of test-agnostic long-tailed recognition",
            f"Software, version {__version__}",
            0,
            "",
        )
    )
    text = "\n".join(entry.render() for entry in _merge(entries))
    notes = "".join(f"% no reference is known for {what}\n" for what in missing)
    try:
        write_text(file, notes + ("\n" if notes else "") + text)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror or error}") from None
    return missing


def entry_of(reference: Reference, used_by: str = "") -> Entry:
    """The entry of a method's or strategy's reference; authors stand there by commas."""
    authors = " and ".join(part.strip() for part in reference.authors.split(","))
    kind = (
        "article"
        if re.search(r"journal|transactions|computation", reference.venue, re.I)
        else ("misc" if reference.venue.lower().startswith("arxiv") else "inproceedings")
    )
    return Entry(
        kind, authors, reference.title, reference.venue, reference.year, reference.url,
        (used_by,) if used_by else (),
    )  # fmt: skip


def _methods(evaluation: Evaluation) -> list[str]:
    """The method; of an ensemble those of its members."""
    if not evaluation.trial.members:
        return [evaluation.method]
    labels = json.loads(evaluation.trial.training.hyper).get("members")
    if not isinstance(labels, list):
        return [evaluation.method]
    return sorted({str(label).partition("[")[0] for label in labels})


def _of_rows(rows: Sequence[tuple[str, str, str]]) -> tuple[list[Entry], list[str]]:
    from ltbench.registry import load_registries

    registries = load_registries()
    entries: list[Entry] = []
    missing: list[str] = []
    own = {"method": {row[0] for row in rows}, "strategy": {row[1] for row in rows}}
    imported = {method for method, _, origin in rows if origin == "imported"}
    for kind, plugins in (
        ("method", registries.methods.plugins),
        ("strategy", registries.strategies.plugins),
    ):
        for name in sorted(own[kind]):
            plugin = plugins.get(name)
            reference = plugin.cls.reference if plugin is not None else None
            if reference is not None and not (kind == "method" and name in imported):
                entries.append(entry_of(reference, name))
            elif plugin is None or name in imported:
                how = "imported" if name in imported else "not registered here"
                missing.append(f"{kind} {name} ({how})")
    return entries, missing


def _used(entry: Entry, what: str) -> Entry:
    return Entry(entry.kind, entry.author, entry.title, entry.venue, entry.year, entry.url, (what,))


def _merge(entries: Iterable[Entry]) -> list[Entry]:
    """One entry per work, named by address or else by key, used by all that used one of them."""
    merged: dict[str, Entry] = {}
    for entry in entries:
        place = entry.url or entry.key
        before = merged.get(place)
        if before is None:
            merged[place] = entry
        else:
            uses = tuple(dict.fromkeys((*before.used_by, *entry.used_by)))
            merged[place] = Entry(
                before.kind,
                before.author,
                before.title,
                before.venue,
                before.year,
                before.url,
                uses,
            )
    return list(merged.values())


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def _escape(text: str) -> str:
    return re.sub(r"([&%#_$])", r"\\\1", text)
