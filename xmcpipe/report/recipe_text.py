"""A run as a recipe: TOML that `xmcpipe run` reads, with every setting that its manifests hold."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from xmcpipe.report.runs import Run

NEEDED = ("raw", "shards", "model", "predictions", "metrics")


def recipe_text(run: Run) -> str | None:
    """The recipe that makes the run again; None where a stage's settings went with its artifact."""
    if any(kind not in run.artifacts for kind in NEEDED) or "clusters" in run.absent:
        return None
    lines = [f"name = {json.dumps(run.dataset or 'again')}"]
    for artifact in run.artifacts.values():
        manifest = artifact.manifest
        # where an import's files lie is no part of its identity, and yet of what it takes to run it again
        places = manifest.made_by.get("runtime", {}) if manifest.stage == "import" else {}
        lines += ["", *_table(manifest.stage, {**manifest.config, **places})]
    return "\n".join(lines) + "\n"


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one table, and below them those of the tables in it; null has no word in TOML."""
    yield f"[{name}]"
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield from _table(f"{name}.{key}", value)
