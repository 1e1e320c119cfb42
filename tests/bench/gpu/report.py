"""The report of `make gpu-check` as JSON and Markdown; it is rewritten whole after every result."""

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
GIB = 1 << 30
TAIL = 60  # lines of a part's output in the report
FLOORS = {"ffi": "floor_ms", "grouped": "grouped_floor_ms"}  # implementation -> key of its row
RUNNING, NOT_RUN, STOPPED = "running", "not run", "stopped"
VERDICT = re.compile(r"(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")  # a line of `pytest -v`


@dataclass
class Part:
    """A part of the check and what it has said so far.

    `expected` is its duration in seconds as it is planned. `status` is the exit status; until there is one,
    `state` is why: running, not run, stopped. `rows` are the JSON objects that it printed, `tests` the number
    of tests by verdict, `failed` the names of those that failed.
    """

    name: str
    command: str
    expected: float
    table: str = ""
    """Key of the report under which the rows are."""
    state: str = NOT_RUN
    why: str = ""
    status: int | None = None
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    tests: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        """Take a line of the output: a row, a test's verdict, or text."""
        if self.table and line.startswith("{"):
            try:
                self.rows.append(json.loads(line))
                return
            except ValueError:
                pass  # a line that a kill cut off, or other text
        if verdict := VERDICT.match(line):
            self.tests[verdict[2].lower()] += 1
            if verdict[2] in ("FAILED", "ERROR"):
                self.failed.append(verdict[1])
        self.lines.append(line)

    @property
    def verdict(self) -> str:
        """ok, failed, or the state of a part that has no exit status."""
        counts = ", ".join(f"{number} {name}" for name, number in self.tests.items())
        found = self.state if self.status is None else "ok" if self.status == 0 else f"failed ({self.status})"
        return ": ".join(filter(None, [found, self.why, counts]))

    def facts(self) -> dict[str, Any]:
        """The part in JSON: output only unless it succeeded, and no paths of this machine."""
        facts: dict[str, Any] = {"name": self.name, "command": self.command, "verdict": self.verdict}
        facts |= {"status": self.status, "seconds": round(self.seconds, 1), "expected_seconds": self.expected}
        if self.tests:
            facts |= {"tests": dict(self.tests), "failed": self.failed}
        if self.status != 0 and self.lines:
            said = "\n".join(self.lines[-TAIL:]).replace(f"{ROOT}/", "").replace(str(ROOT), ".")
            facts["said"] = said.replace(sys.executable, "python")
        return facts


class Report:
    """The two files of a check in the folder `out`; `bench` is where `xmcpipe bench` writes its results."""

    def __init__(self, out: Path, facts: dict[str, Any], parts: list[Part], bench: Path) -> None:
        self.out, self.facts, self.parts, self.bench = out, facts, parts, bench
        name = re.sub(r"[^a-z0-9]+", "-", str(facts.get("gpu", "")).lower()).strip("-")
        self.name = f"gpu-{name}" if name else "cpu-check"
        self.page = out / f"{self.name}.md"

    def write(self) -> None:
        """Write both files; a reader, and a kill at any moment, find the whole old or the whole new ones."""
        document: dict[str, Any] = {"command": "make gpu-check", "machine": self.facts}
        document["parts"] = [part.facts() for part in self.parts]
        document |= {table: self._rows(table) for table in ("steps", "step_designs", "shapes")}
        document["bench"] = _read(self.bench)
        _replace(self.out / f"{self.name}.json", json.dumps(document, indent=1) + "\n")
        _replace(self.page, self._markdown())

    def _rows(self, table: str) -> list[dict[str, Any]]:
        return [row for part in self.parts if part.table == table for row in list(part.rows)]

    def _markdown(self) -> str:
        lines = [f"# {self.facts.get('gpu', 'No GPU: the CPU, small shapes')}", "", "    make gpu-check", ""]
        known = [f"{key} {value}" for key, value in self.facts.items() if value not in (None, [])]
        missing = [key for key, value in self.facts.items() if value is None]
        lines += [", ".join(known), "", *([f"Missing: {', '.join(missing)}", ""] if missing else [])]
        lines += ["| part | verdict | seconds | expected |", "|---|---|---|---|"]
        lines += [
            f"| {part.name} | {part.verdict} | {part.seconds:.0f} | {part.expected:.0f} |"
            for part in self.parts
        ]
        for part in self.parts:
            lines += [f"- {part.name}: {name}" for name in part.failed]
        lines += _steps(self._rows("steps")) + _designs(self._rows("step_designs"))
        lines += _shapes(self._rows("shapes"))
        if "gpu" not in self.facts:
            lines += ["", "Small shapes on a CPU: these figures only show that the script runs."]
        return "\n".join(lines) + "\n"


def _table(title: str, columns: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    lines = ["", title, "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _steps(rows: list[dict[str, Any]]) -> list[str]:
    """The step of each implementation: replayed from a graph, called, and the host's part of a call."""
    title = "The step, milliseconds (graph replay / eager / host of eager), and dense / ours by replay:"
    columns = ["L", "K", "B", "floor", "implementation", "replay", "eager", "host", "dense / it"]
    cells = []
    for row in rows:
        sizes = [f"{row['labels']:,}", str(row["fan_in"]), str(row["batch"])]
        floors = {name: f"{row[key]:.3f}" for name, key in FLOORS.items()}
        for name, times in row["ms"].items():
            shown = ["" if times[key] is None else f"{times[key]:.3f}" for key in ("graph", "eager", "host")]
            faster = "" if times["faster"] is None else f"{times['faster']:.2f}"
            cells.append([*sizes, floors.get(name, ""), name, *shown, faster])
        notes = row["notes"].items()
        cells += [[*sizes, floors.get(name, ""), name, note, "", "", ""] for name, note in notes]
    return _table(title, columns, cells)


def _designs(rows: list[dict[str, Any]]) -> list[str]:
    """Milliseconds of the designs of the step by shape."""
    names = ("one pass", "warpgroups", "clusters", "chunks")
    columns, cells = ["L", "D", "K", "B", *names, "of a copy"], []
    for row in rows:
        times = [f"{row['ms'][name]:.3f}" if name in row["ms"] else "" for name in names]
        times = ["wrong" if name in row["wrong"] else time for name, time in zip(names, times, strict=True)]
        sizes = [str(row[key]) for key in ("labels", "features", "fan_in", "batch")]
        cells.append([*sizes, *times, f"{row['share_of_copy']:.0%}"])
    return _table("Designs of the fused step, bfloat16, milliseconds:", columns, cells)


def _shapes(rows: list[dict[str, Any]]) -> list[str]:
    """Each shape with its targets."""
    columns = ["shape", "memory", "peak, GiB", "predicted / it", "target", "paper's", "ms per step"]
    cells = []
    for row in rows:
        memory, light = row["memory_bytes"], row["memory"] == "light"
        target = f"<= {row['target_gib']}" if row["target_gib"] and light else ""
        epoch = f"<= {row['target_epoch_minutes']}" if row["target_epoch_minutes"] else ""
        peak = f"{memory['measured_bytes']['total'] / GIB:.3g}"
        figures = [peak, str(memory.get("ratio", "")), target, str(row["paper_gib"] or "")]
        times = [f"{1000 * row['step_seconds']:.1f}", f"{row['epoch_minutes']:.2f}", epoch]
        cells.append([row["shape"], row["memory"], *figures, *times])
    return _table("Whole training steps:", [*columns, "epoch, min", "target"], cells)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # not there yet


def _replace(path: Path, text: str) -> None:
    """Write a file in one go: first beside its place, then renamed."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
