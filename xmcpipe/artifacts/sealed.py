"""JSON objects that carry their own checksum, so that damage to a list of checksums is noticed too."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from xmcpipe.json_file import parse_json

SEAL = "sha256"  # key of the checksum, which is that of all other keys and their values


def seal(table: Mapping[str, Any]) -> str:
    """`table` (JSON types, without the key SEAL) and its checksum as JSON text of several lines."""
    # What is hashed is the table as it will be read: tuples become lists, for example.
    content = json.loads(json.dumps(table, allow_nan=False))
    return json.dumps({**content, SEAL: _digest(content)}, indent=2, ensure_ascii=False) + "\n"


def unseal(text: str, required: bool = True) -> dict[str, Any]:
    """The table that `text` holds, without its checksum.

    Unless `required`, a table without a checksum is returned as it is. Raises ValueError for text that isn't
    a JSON object, and for a checksum that is missing or doesn't match.
    """
    table = parse_json(text)
    if not isinstance(table, dict):
        raise ValueError(f"expected a JSON object, got {type(table).__name__}")
    expected = table.pop(SEAL, None)
    if expected is None and not required:
        return table
    if expected != _digest(table):
        raise ValueError("it was changed: its own checksum does not match")
    return table


def _digest(table: dict[str, Any]) -> str:
    text = json.dumps(table, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
