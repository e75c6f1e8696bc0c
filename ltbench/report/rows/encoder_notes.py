"""What a reader of rows on frozen features has to know of the encoder: which classes it has seen."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.report.records.schema import Evaluation


def encoder_notes(evaluations: Sequence[Evaluation]) -> list[str]:
    """One line for each thing that is said of the overlap; one that nothing is said where it is so."""
    encoders = [e.trial.encoder for e in evaluations if e.trial.encoder is not None]
    notes = []
    for overlap in sorted({encoder.overlap for encoder in encoders}):
        told = overlap or (
            "not stated (data.encoder.overlap of the protocol); what it has seen of few-shot classes is "
            "in no count of training images here"
        )
        notes.append(f"classes that the pre-trained encoder has seen: {told}")
    return notes
