"""All tables of a section."""

from __future__ import annotations

from ltbench.report.rows.sections import Section
from ltbench.report.tables.adaptation import adaptation_table, exact_table
from ltbench.report.tables.combined import combined_table
from ltbench.report.tables.cost import cost_table
from ltbench.report.tables.experts import expert_shift_table, weights_table
from ltbench.report.tables.families import families_table
from ltbench.report.tables.first_draw import first_draw_table
from ltbench.report.tables.images import images_table
from ltbench.report.tables.pairs import pairs_table
from ltbench.report.tables.prior import prior_table
from ltbench.report.tables.quoted import quoted_table
from ltbench.report.tables.shift import main_table, partial_table
from ltbench.report.tables.stability import stability_table
from ltbench.report.tables.stream import stream_table
from ltbench.report.tables.table import Table
from ltbench.report.tables.uniform import expert_groups_table, groups_table


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
