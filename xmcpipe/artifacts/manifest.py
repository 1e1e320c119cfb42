"""manifest.json: what an artifact is, how it was made, and the hash of each file. It is written last."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from xmcpipe.artifacts.sealed import seal, unseal
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import JSON_BYTES, is_of_kind, read_bounded

FILE_NAME = "manifest.json"
NAME_BYTES = 255  # of a file, or of a folder in its path: file systems take no more
KIND_NAMES: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
    NoneType: "null",
}
TYPES: dict[str, tuple[type, ...]] = {
    "stage": (str,),
    "kind": (str,),
    "schema_version": (int,),
    "fingerprint": (str,),
    "config": (dict,),
    "inputs": (dict,),
    "figures": (dict,),
    "made_by": (dict,),
}
MADE_BY_TYPES: dict[str, tuple[type, ...]] = {
    "command": (list,),
    "runtime": (dict,),
    "started": (str,),
    "seconds": (int, float),
    "order": (int,),
    "peak_rss_bytes": (int,),
}
# A key of `inputs` that is no kind of artifact: its value is the sha256 of bytes from outside the store.
SOURCE = "source"


@dataclass(frozen=True)
class Output:
    """One file of an artifact; `rows` is its number of rows if it is a table."""

    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The contents of manifest.json.

    `config` is the stage's table as it was hashed, without the runtime fields. `inputs` maps the kind of each
    input to its fingerprint; for raw data, it maps SOURCE to the sha256 of the source bytes. `outputs` maps
    the path of each file, relative to the artifact, to its size and hash. `figures` are the headline numbers
    of the stage (JSON types). `made_by` holds versions, host, time and memory, which are no part of the
    fingerprint. The file also holds the sha256 of all this.
    """

    stage: str
    kind: str
    schema_version: int
    fingerprint: str
    config: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, Output]
    figures: dict[str, Any]
    made_by: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write manifest.json into `folder`. The caller syncs it to disk."""
        (folder / FILE_NAME).write_text(seal(dataclasses.asdict(self)), encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """The manifest of the artifact at `folder`.

        Raises XmcpipeError if there is none, it can't be read, it doesn't match its own checksum, or a value
        is of another type than above: a checksum says nothing of a manifest that a stranger has sealed.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise XmcpipeError(
                f"{folder} is not an artifact: it has no {FILE_NAME}", "name a folder that a stage wrote"
            )
        try:
            # Manifests of older versions have no checksum.
            table = unseal(read_bounded(path, JSON_BYTES).decode("utf-8"), required=False)
            # An unknown or missing key is a TypeError: the dataclasses are the schema.
            outputs = {name: Output(**facts) for name, facts in table.pop("outputs").items()}
            manifest = Manifest(outputs=outputs, **table)
            _require_types(manifest)
            return manifest
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise XmcpipeError(
                f"{path} can't be read as a manifest: {error}", f"remove {folder} and run its stage again"
            ) from error

    def require(self, kind: str, schema_version: int) -> None:
        """Raise XmcpipeError unless this is an artifact of `kind` with this version of its format."""
        if self.kind != kind:
            raise XmcpipeError(
                f"expected an artifact of kind {kind!r}, got one of kind {self.kind!r}", "check the path"
            )
        if self.schema_version != schema_version:
            raise XmcpipeError(
                f"expected {kind} of schema version {schema_version}, got version {self.schema_version}",
                f"run `xmcpipe {self.stage}` again",
            )


def _require_types(manifest: Manifest) -> None:
    """Raise ValueError for a value of another type, and for an output that is not a file of the artifact."""
    for name, kind in TYPES.items():
        _require(getattr(manifest, name), kind, name)
    for name, kind in MADE_BY_TYPES.items():
        if name in manifest.made_by:
            _require(manifest.made_by[name], kind, f"made_by.{name}")
    for name, fingerprint in manifest.inputs.items():
        _require(fingerprint, (str,), f"inputs.{name}")
    for name, output in manifest.outputs.items():
        _require_file_name(name)
        _require(output.bytes, (int,), f"bytes of {name}")
        _require(output.sha256, (str,), f"sha256 of {name}")
        _require(output.rows, (int, NoneType), f"rows of {name}")


def _require(value: Any, kinds: tuple[type, ...], name: str) -> None:
    if not is_of_kind(value, kinds):
        expected = " or ".join(KIND_NAMES[kind] for kind in kinds)
        raise ValueError(f"expected {expected} as {name}, got {str(value)[:40]!r}")


def _require_file_name(name: str) -> None:
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > NAME_BYTES for part in parts) or "\0" in name:
        raise ValueError(f"expected the path of a file in the folder, got {name[:40]!r}")
