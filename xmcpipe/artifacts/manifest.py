"""manifest.json: what an artifact is, how it was made, and the hash of each file. It is written last."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.sealed import seal, unseal
from xmcpipe.errors import XmcpipeError

FILE_NAME = "manifest.json"
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

        Raises XmcpipeError if there is none, it can't be read, or it doesn't match its own checksum.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise XmcpipeError(
                f"{folder} is not an artifact: it has no {FILE_NAME}", "name a folder that a stage wrote"
            )
        try:
            # Manifests of older versions have no checksum.
            table = unseal(path.read_text(encoding="utf-8"), required=False)
            # An unknown or missing key is a TypeError: the dataclasses are the schema.
            outputs = {name: Output(**facts) for name, facts in table.pop("outputs").items()}
            return Manifest(outputs=outputs, **table)
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
