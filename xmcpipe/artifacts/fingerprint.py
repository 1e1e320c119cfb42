"""The name of an artifact: the hash of everything that decided its bytes, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


def fingerprint(stage: str, schema_version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The name of what `stage` makes with `config` (JSON types) of `inputs` (kind -> fingerprint).

    Returns 64 hex digits. Library versions, host and time are no part of it.
    """
    identity = {"stage": stage, "schema_version": schema_version, "config": config, "inputs": inputs}
    # Canonical JSON: one text for equal tables, whatever the order of their keys.
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The sha256 of a file as 64 hex digits; 1 MiB is in memory at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
