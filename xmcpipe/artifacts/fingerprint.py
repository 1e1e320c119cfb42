"""The name of an artifact: a hash of everything that determines its bytes, and of nothing else."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


def fingerprint(stage: str, schema_version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The fingerprint, 64 hex digits, of the artifact that a stage makes.

    It depends on the stage's name, the version of its format, its config (JSON types, identity keys only) and
    its inputs (kind -> fingerprint). It does not depend on library versions, host or time.
    """
    identity = {"stage": stage, "schema_version": schema_version, "config": config, "inputs": inputs}
    # Canonical JSON: one text for equal tables, whatever the order of their keys.
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_files(paths: Iterable[Path]) -> str:
    """One sha256 over the names and contents of the files of a folder, in this order."""
    listed = "".join(f"{path.name} {sha256_of_file(path)}\n" for path in paths)
    return hashlib.sha256(listed.encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The sha256 of a file as 64 hex digits; the file is read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
