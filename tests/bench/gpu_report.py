"""Writes the report of `make gpu-check` as JSON and Markdown: machine, parts, shapes, designs of the step."""

import json
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


@dataclass
class Part:
    """The result of a part of the check.

    `status` is the exit status, or None if it was not run. `tail` holds the last lines of its output, or why
    it was not run; `result` its standard output, or what was parsed from it.
    """

    name: str
    command: str
    status: int | None
    seconds: float
    tail: str
    result: Any = field(default=None)

    def facts(self) -> dict[str, Any]:
        """The part in the report: output only unless it succeeded, and no paths of this machine."""
        tail = {"said": self.tail.replace(f"{ROOT}/", "")} if self.status != 0 else {}
        return {
            "name": self.name,
            "command": self.command,
            "status": self.status,
            "seconds": self.seconds,
            **tail,
        }

    @property
    def verdict(self) -> str:
        """ok, failed or not run."""
        return "not run" if self.status is None else "ok" if self.status == 0 else f"failed ({self.status})"


def machine(on_gpu: bool) -> dict[str, Any]:
    """The hardware and versions that it ran on, without host name or path."""
    import torch

    facts: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__}
    facts["cores"] = os.cpu_count()
    for package in ("transformers", "cuda.core", "cuda.bindings", "numba"):
        try:
            facts[package] = __import__(package, fromlist=["__version__"]).__version__
        except (ImportError, AttributeError):
            facts[package] = None
    if on_gpu:
        card = torch.cuda.get_device_properties(0)
        facts |= {"gpu": card.name, "cuda": torch.version.cuda}
        facts["memory_gib"] = round(card.total_memory / GIB, 1)
        facts["capability"] = f"{card.major}.{card.minor}"
        facts["multiprocessors"] = card.multi_processor_count
        facts["l2_mib"] = card.L2_cache_size >> 20
    return facts


def table(rows: list[dict[str, Any]], on_gpu: bool) -> list[str]:
    """Each shape with its targets, as a Markdown table."""
    columns = (
        "shape",
        "memory",
        "peak, GiB",
        "predicted / it",
        "target",
        "paper's",
        "ms per step",
        "epoch, min",
        "target",
    )
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        memory = row["memory_bytes"]
        peak, predicted = memory["measured_bytes"]["total"] / GIB, memory.get("ratio", "")
        target = f"<= {row['target_gib']}" if row["target_gib"] and row["memory"] == "light" else ""
        epoch = f"<= {row['target_epoch_minutes']}" if row["target_epoch_minutes"] else ""
        step, minutes = f"{1000 * row['step_seconds']:.1f}", f"{row['epoch_minutes']:.2f}"
        cells = [row["shape"], row["memory"], f"{peak:.3g}", predicted, target, row["paper_gib"] or ""]
        lines.append("| " + " | ".join(map(str, [*cells, step, minutes, epoch])) + " |")
    if not on_gpu:
        lines += ["", "Small shapes on a CPU: these figures only show that the script runs."]
    return lines


def designs_table(designs: list[dict[str, Any]]) -> list[str]:
    """Milliseconds of both designs of the step by shape, as a Markdown table."""
    if not designs:
        return []
    lines = ["", "The fused step, 670,091 labels, bfloat16, milliseconds:", ""]
    lines += ["| D | K | B | one pass | chunks | of a copy |", "|---|---|---|---|---|---|"]
    for row in designs:
        times = [f"{row['ms'][name]:.3f}" if name in row["ms"] else "" for name in ("one pass", "chunks")]
        cells = [row["features"], row["fan_in"], row["batch"], *times, f"{row['share_of_copy']:.0%}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def write_report(
    parts: list[Part],
    facts: dict[str, Any],
    rows: list[dict[str, Any]],
    designs: list[dict[str, Any]],
    bench: Any,
    out: Path,
) -> Path:
    """Write the two files; returns the path of the Markdown file."""
    on_gpu = "gpu" in facts
    name = "gpu-" + re.sub(r"[^a-z0-9]+", "-", facts["gpu"].lower()).strip("-") if on_gpu else "cpu-check"
    out.mkdir(parents=True, exist_ok=True)
    whole = {"command": "make gpu-check", "machine": facts, "parts": [part.facts() for part in parts]}
    whole |= {"shapes": rows, "step_designs": designs, "bench": bench}
    (out / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    lines = [f"# {facts.get('gpu', 'No GPU: the CPU, small shapes')}", "", "    make gpu-check", ""]
    lines += [", ".join(f"{key} {value}" for key, value in facts.items() if value is not None), ""]
    lines += ["| part | verdict | seconds |", "|---|---|---|"]
    for part in parts:
        why = f": {part.tail}" if part.status is None else ""
        lines.append(f"| {part.name} | {part.verdict}{why} | {part.seconds:.0f} |")
    page = out / f"{name}.md"
    page.write_text("\n".join([*lines, "", *table(rows, on_gpu), *designs_table(designs)]) + "\n")
    return page
