"""How a run was made, and how to repeat it: commands, artifacts, versions and machine."""

import shlex
from typing import Any

from xmcpipe.artifacts.store import Artifact
from xmcpipe.report.cells import clock, gib_of
from xmcpipe.report.facts.recipe_text import recipe_text
from xmcpipe.report.facts.runs import Run


def rebuild_facts(run: Run) -> dict[str, Any]:
    """The facts about one run in the last section of page.html.j2 (JSON types)."""
    made_by = {kind: each.manifest.made_by for kind, each in run.artifacts.items()}
    commands: dict[str, list[str]] = {}
    for each in run.artifacts.values():
        if command := each.manifest.made_by.get("command"):
            commands.setdefault(shlex.join(command), []).append(each.manifest.stage)
    # Versions and machine are those of the training, if its artifact still exists.
    training = made_by.get("predictions") if run.baseline else made_by.get("model")
    main = training or made_by["metrics"]
    return {
        "name": run.name,
        "commands": commands,
        "recipe": recipe_text(run),
        "rerun": f"xmcpipe {'baseline' if run.baseline else 'run'} rerun.toml",
        "settings": {key: setting_text(value) for key, value in run.settings.items()},
        "artifacts": list(map(_artifact, run.artifacts.values())),
        "absent": run.absent,
        "versions": {
            "xmcpipe": main.get("xmcpipe"),
            "python": main.get("python"),
            **(main.get("libraries") or {}),
        },
        "machine": {
            "platform": main.get("platform"),
            "host": main.get("host"),
            "CPUs": main.get("cpus"),
            "device": run.figures("model").get("device"),
        },
    }


def _artifact(artifact: Artifact) -> dict[str, Any]:
    """The facts about an artifact for the table of artifacts."""
    made_by = artifact.manifest.made_by
    return {
        "stage": artifact.manifest.stage,
        "kind": artifact.manifest.kind,
        "fingerprint": artifact.manifest.fingerprint,
        "started": str(made_by.get("started", ""))[:16].replace("T", " "),
        "seconds": clock(float(made_by.get("seconds", 0))),
        "bytes": gib_of(artifact.bytes),
        "resident": gib_of(int(made_by.get("peak_rss_bytes", 0))),
    }


def setting_text(value: Any) -> str:
    """A setting as in TOML, but without quotes; a dash if it is not set."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
