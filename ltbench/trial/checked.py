"""Records that carry a checksum of themselves: a digit that became another one is no result.

The last key of a record, ``crc32``, is the CRC-32 of the record without that key, as JSON on one line
without spaces, keys in the order of the file, UTF-8, in eight hexadecimal digits. So indenting a record
changes nothing, and whoever edits one removes the key. Records without it are read as they are. It enters
no identity and nothing that is compared: readers never see it. Needs no torch.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ltbench.errors import InputError
from ltbench.files import json_text, read_json, read_whole, write_text
from ltbench.trial.trial import SCHEMA

CRC = "crc32"
CHANGED = "its checksum does not agree with its content: it was changed after it was written"
_KEY = f'"{CRC}"'.encode()
_END = re.compile(rb',"crc32":"([0-9a-f]{8})"\}\n?\Z')
_LENGTH = 22  # bytes that it matches at most


def write_checked(path: Path, record: Mapping[str, Any], *, indent: int | None = 1) -> None:
    """Whole or not at all, with its checksum. indent: for people to read; None: on one line."""
    write_text(path, checked_text(record, indent=indent))


def checked_text(record: Mapping[str, Any], *, indent: int | None) -> str:
    """As :func:`write_checked` writes it; NaN and infinities are refused."""
    content = {key: value for key, value in record.items() if key != CRC}
    line = json_text(content, indent=None)[:-1]
    crc = f"{zlib.crc32(line.encode('utf-8')):08x}"
    if indent is None:
        return f'{line[:-1]},"{CRC}":"{crc}"}}\n'
    return json_text({**content, CRC: crc}, indent=indent)


def read_checked(path: Path) -> Any:
    """The record without its checksum; raises :class:`InputError` with path and reason, also where
    the two do not agree.

    What a record of a later schema means by that key is not known here: its number refuses it.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        return record
    told, schema = record.pop(CRC, None), record.get("schema")
    newer = isinstance(schema, int) and schema > SCHEMA
    if told is not None and not newer and told != _crc32(record):
        raise InputError(f"{path} is not readable: {CHANGED}")
    return record


def checked_bytes(path: Path) -> bytes:
    """The file as it is, for who decodes but parts of it; raises as :func:`read_checked` does.

    Where it lies as ltbench writes evaluations, on one line, that takes a fraction of the time.
    """
    content = read_whole(path)
    if _KEY in content and not _agrees_as_written(content):
        read_checked(path)
    return content


def _agrees_as_written(content: bytes) -> bool:
    """False proves nothing: it may be laid out otherwise."""
    end = _END.search(content, max(0, len(content) - _LENGTH))
    if end is None:
        return False
    crc = zlib.crc32(b"}", zlib.crc32(memoryview(content)[: end.start()]))
    return end[1] == b"%08x" % crc


def _crc32(record: dict[str, Any]) -> str | None:
    """None where it could not have been written: numbers beyond what JSON has."""
    try:
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return f"{zlib.crc32(line.encode('utf-8')):08x}"
    except (ValueError, RecursionError):
        return None
