"""The pre-trained encoder that a trial stands on, as its record tells it."""

from __future__ import annotations

from dataclasses import dataclass

from ltbench.report.records.checks import Node

_DIGITS = 12


@dataclass(frozen=True)
class PretrainedEncoder:
    """What made the frozen features that heads were trained on. weights: ``sha256:...`` or a revision;
    output: the point of the network; overlap: what is said of classes that it has seen, or empty."""

    name: str
    weights: str = ""
    output: str = ""
    overlap: str = ""

    @property
    def told(self) -> str:
        """``"open_clip:ViT-B-16 (weights sha256:579344248a93, output pre-projection)"``: who it is."""
        kind, colon, digest = self.weights.partition(":")
        parts = (
            f"weights {kind}{colon}{digest[:_DIGITS]}" if self.weights else "",
            f"output {self.output}" if self.output else "",
        )
        more = ", ".join(part for part in parts if part)
        return f"{self.name} ({more})" if more else self.name


def parse_encoder(node: Node | None) -> PretrainedEncoder | None:
    """None where a network was trained from scratch, or nothing pre-trained made the features."""
    if node is None:
        return None
    more = {key: node.get(key) for key in ("weights", "output", "overlap")}
    return PretrainedEncoder(
        node.at("name").text(),
        **{key: found.text(empty=True) for key, found in more.items() if found is not None},
    )
