"""Reads what the page's scripts are given."""

import json
import re
from pathlib import Path
from typing import Any


def shift_rows(page: Path, part: str) -> list[dict[str, Any]]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    rows: list[dict[str, Any]] = json.loads(found[1])[part]["shift"]["rows"]
    return rows
