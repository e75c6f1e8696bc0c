"""The columns that every data frame begins with: which row of a table, of which training seed."""

from __future__ import annotations

from ltbench.report.records.schema import Evaluation
from ltbench.report.records.streams import StreamRecord

ROW_COLUMNS: dict[str, str] = {
    "protocol": "str",
    "protocol_version": "str",
    "variant": "str",
    "method": "str",
    "method_params": "str",
    "strategy": "str",
    "strategy_params": "str",
    "seed": "int64",
}


def row_values(record: Evaluation | StreamRecord) -> dict[str, object]:
    """The values of :data:`ROW_COLUMNS`."""
    return {
        "protocol": record.protocol.name,
        "protocol_version": record.protocol.version,
        "variant": record.protocol.variant,
        "method": record.method,
        "method_params": record.method_params,
        "strategy": record.strategy,
        "strategy_params": record.strategy_params,
        "seed": record.seed,
    }
