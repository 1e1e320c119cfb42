"""manifest.json: what an artifact is, what made it, and the hash of every file in it. It is written last."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcpipe.errors import XmcpipeError

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Output:
    """One file of an artifact."""

    bytes: int
    sha256: str
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """The contents of manifest.json.

    `config` is the stage's table as it was hashed, without the runtime fields; `inputs` maps an input's kind
    to its fingerprint, or "source" to the sha256 of raw data's bytes; `outputs` maps a path relative to the
    artifact to its facts; `figures` are the stage's headline numbers; `made_by` holds versions, host, time
    and seconds, not hashed.
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
        """Write manifest.json into `folder`; the caller syncs it to disk."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False, allow_nan=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """The manifest of the artifact at `folder`. Raises XmcpipeError where none is or it can't be read."""
        path = folder / FILE_NAME
        if not path.is_file():
            raise XmcpipeError(
                f"{folder} is no artifact: it has no {FILE_NAME}", "name the folder a stage made"
            )
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            outputs = {name: Output(**facts) for name, facts in table.pop("outputs").items()}
            return Manifest(outputs=outputs, **table)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise XmcpipeError(
                f"{path} can't be read as a manifest: {error}", f"remove {folder} and run its stage again"
            ) from error

    def require(self, kind: str, schema_version: int) -> None:
        """Raise XmcpipeError unless this is an artifact of `kind` in the format that this version reads."""
        if self.kind != kind:
            raise XmcpipeError(
                f"an artifact of kind {self.kind!r} was given, {kind!r} was wanted", "check the path"
            )
        if self.schema_version != schema_version:
            raise XmcpipeError(
                f"the {kind} artifact has schema version {self.schema_version}, {schema_version} was wanted",
                f"run `xmcpipe {self.stage}` again",
            )
