"""An ensemble's job met with its images: the contexts of its members, and the trial they make."""

from __future__ import annotations

from ltbench.execute.context import TrialContext
from ltbench.resolve.ensembles import Member, members_of
from ltbench.resolve.rows import ResolvedRow
from ltbench.trial.ensemble import EnsembleTrial, ensemble_trial


class EnsembleContext(TrialContext):
    """Nothing is trained: rows are evaluated on what the members left."""

    trial: EnsembleTrial

    def _find_trial(self) -> EnsembleTrial:
        job = self.job
        self.parts = [
            TrialContext(job.of_member(member), self.emit, self.should_stop)
            for member in job.members
        ]
        self.rows: list[ResolvedRow] = job.resolve_rows(self.registries)
        self.plugin = self.rows[0].method
        self.members: tuple[Member, ...] = members_of(self.plugin)
        return ensemble_trial(
            self.plugin.name,
            {"members": [member.label for member in self.members]},
            self.plugin.cls.version,
            self.plugin.digest,
            job.seed,
            [part.trial for part in self.parts],
        )
