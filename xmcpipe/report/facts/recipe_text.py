"""A run as a recipe: TOML text for `xmcpipe run`, with every setting in the manifests of the run."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from xmcpipe.report.facts.runs import Run


def recipe_text(run: Run) -> str | None:
    """The recipe that repeats the run; None if an artifact, and with it its settings, was deleted."""
    if run.absent:
        return None
    lines = [f"name = {json.dumps(run.dataset or 'rerun')}"]
    for artifact in run.artifacts.values():
        manifest = artifact.manifest
        # Paths are not part of the identity, but are needed to import files again, or to begin with a model.
        runtime = manifest.made_by.get("runtime", {})
        paths = runtime if manifest.stage == "import" else {}
        if runtime.get("start_from"):
            paths = {"start_from": runtime["start_from"]}
        lines += ["", *_table(manifest.stage, {**manifest.config, **paths})]
    return "\n".join(lines) + "\n"


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table and of the tables nested in it. TOML has no null, so null keys are omitted."""
    # First the plain keys: in TOML, a key after the header of a nested table would belong to that table.
    yield f"[{name}]"
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield from _table(f"{name}.{key}", value)
