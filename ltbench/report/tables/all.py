"""All tables of a section."""

from __future__ import annotations

from ltbench.report.contents_adaptation import adaptation_table, exact_table
from ltbench.report.contents_combined import combined_table
from ltbench.report.contents_cost import cost_table
from ltbench.report.contents_experts import expert_shift_table, weights_table
from ltbench.report.contents_families import families_table
from ltbench.report.contents_first_draw import first_draw_table
from ltbench.report.contents_images import images_table
from ltbench.report.contents_pairs import pairs_table
from ltbench.report.contents_prior import prior_table
from ltbench.report.contents_quoted import quoted_table
from ltbench.report.contents_shift import main_table, partial_table
from ltbench.report.contents_stability import stability_table
from ltbench.report.contents_stream import stream_table
from ltbench.report.contents_uniform import expert_groups_table, groups_table
from ltbench.report.sections import Section
from ltbench.report.tables import Table


def build_tables(section: Section, ltbench_version: str) -> list[Table]:
    """Those that have something to show, in the order of the report."""
    tables = (
        main_table(section, ltbench_version),
        first_draw_table(section, ltbench_version),
        groups_table(section, ltbench_version),
        expert_groups_table(section, ltbench_version),
        expert_shift_table(section, ltbench_version),
        partial_table(section, ltbench_version),
        families_table(section, ltbench_version),
        weights_table(section, ltbench_version),
        adaptation_table(section, ltbench_version),
        exact_table(section, ltbench_version),
        stream_table(section, ltbench_version),
        prior_table(section, ltbench_version),
        stability_table(section, ltbench_version),
        pairs_table(section, ltbench_version),
        images_table(section, ltbench_version),
        combined_table(section, ltbench_version),
        quoted_table(section, ltbench_version),
        cost_table(section, ltbench_version),
    )
    return [table for table in tables if table is not None]
