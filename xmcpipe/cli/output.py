"""What commands print: results on standard output, everything else on standard error."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from xmcpipe.artifacts.scratch import Attempt, files_below
from xmcpipe.artifacts.store import Artifact
from xmcpipe.cli.shown import echo, json_text
from xmcpipe.cli.text_table import NO_BREAK, print_table, say
from xmcpipe.stages.chain import ChainStep
from xmcpipe.stages.runner import Outcome
from xmcpipe.stages.stage import Stage

MAX_FIGURES = 5
LINE_CHARACTERS = 2000  # of an error: paths have up to 4096 bytes, and errors rarely name a path so long


def print_json(value: Any) -> None:
    """Print one indented JSON document on standard output."""
    echo(json_text(value, indent=2))


def error_line(text: str) -> None:
    """Print an error as one line on standard error, even if the message has several.

    The middle of a line is left out if it names something endless, such as a column of a stranger's table.
    """
    line = " ".join(text.split())
    if len(line) > LINE_CHARACTERS:
        line = f"{line[: LINE_CHARACTERS // 2]} … {line[-LINE_CHARACTERS // 2 :]}"
    echo(f"error: {line}", err=True)


class LogLines(logging.Handler):
    """Prints the package's log messages on standard error: as plain lines or, with `as_json`, as JSON."""

    as_json = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record as one line. In JSON it has the facts of the record, else its message."""
        text = self.format(record)
        if self.as_json:
            facts = getattr(record, "facts", {"message": text})
            text = json_text({"level": record.levelname.lower(), **facts})
        echo(text, err=True)


def log_as_json(requested: bool) -> None:
    """Print log messages as JSON if `requested` and standard error is no terminal."""
    for handler in logging.getLogger("xmcpipe").handlers:
        if isinstance(handler, LogLines):
            handler.as_json = requested and not sys.stderr.isatty()


def show_log() -> None:
    """Print the package's log messages of level INFO and above."""
    logger = logging.getLogger("xmcpipe")
    if not any(isinstance(handler, LogLines) for handler in logger.handlers):
        logger.addHandler(LogLines())
    logger.setLevel(logging.INFO)
    logger.propagate = False  # else the root logger could print each line a second time


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """What a stage did, in JSON types."""
    facts = artifact_facts(outcome.artifact)
    return {**facts, "state": "made" if outcome.made else "reused", "seconds": outcome.seconds}


def artifact_facts(artifact: Artifact) -> dict[str, Any]:
    """An artifact, in JSON types."""
    manifest = artifact.manifest
    return {
        "stage": manifest.stage,
        "kind": manifest.kind,
        "fingerprint": manifest.fingerprint,
        "path": str(artifact.path),
        "bytes": artifact.bytes,
        "started": manifest.made_by.get("started"),
        "made_in_seconds": manifest.made_by.get("seconds"),
        "figures": manifest.figures,
    }


def print_outcome(outcome: Outcome) -> None:
    """Print one line: name, fingerprint, made or reused, seconds, size, headline figures."""
    artifact = outcome.artifact
    _print_line(
        outcome.stage.name,
        artifact.manifest.fingerprint,
        "made" if outcome.made else "reused",
        f"{outcome.seconds:,.1f} s" if outcome.made else "",
        size(artifact.bytes),
        headline(artifact.manifest.figures),
    )


def print_step(step: ChainStep, now: datetime, attempt: Mapping[str, Any] | None) -> None:
    """Print one line: name, fingerprint, state, age, size, headline figures.

    A missing artifact is "running" or "stopped" if there is an unfinished attempt (see `attempt_facts`).
    """
    if step.artifact is None:
        fingerprint = step.fingerprint or "(not known yet)"
        if attempt is None:
            _print_line(step.stage.name, fingerprint, "missing", "", "", "")
            return
        state, idle = "running" if attempt["running"] else "stopped", duration(attempt["idle_seconds"])
        bytes_ = size(attempt["bytes"])
        _print_line(step.stage.name, fingerprint, state, idle, bytes_, attempt_text(attempt))
        return
    figures = headline(step.artifact.manifest.figures)
    seconds = age(step.artifact, now)
    elapsed = "" if seconds is None else duration(seconds)
    bytes_ = size(step.artifact.bytes)
    _print_line(step.stage.name, step.fingerprint or "", "present", elapsed, bytes_, figures)


def attempt_facts(attempt: Attempt, stage: Stage) -> dict[str, Any]:
    """An unfinished attempt of a stage, in JSON types."""
    return {
        "running": attempt.running,
        "path": str(attempt.scratch),
        "bytes": bytes_below(attempt.scratch),
        "idle_seconds": round(attempt.idle_seconds, 1),
        **(stage.how_far(attempt.scratch) if stage.how_far else {}),
    }


def attempt_text(attempt: Mapping[str, Any]) -> str:
    """How far an attempt is, for example "step 70 of 270 · checkpoint at step 65"."""
    parts = []
    if "step" in attempt:
        steps = f" of {attempt['steps']:,}" if "steps" in attempt else ""
        parts.append(f"step {attempt['step']:,}{steps}")
    if "checkpoint" in attempt:
        parts.append(f"checkpoint at step {attempt['checkpoint']:,}")
    return " · ".join(parts)


def bytes_below(folder: Path) -> int:
    """Total size of the files in a folder in which a process may be at work."""
    return sum(status.st_size for status in files_below(folder))


def headline(figures: Mapping[str, Any]) -> str:
    """The first few figures that are not lists, for example "documents 49,677 · P@1 0.781"."""
    plain = ((key, value) for key, value in _flat(figures) if not isinstance(value, list | Mapping | None))
    shown = [f"{key} {_figure(value)}" for key, value in plain]
    return " · ".join(shown[:MAX_FIGURES])


def size(count: int) -> str:
    """Bytes with a decimal unit: 1.2 MB is 1,200,000 bytes."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    # 999.95 would be printed as 1000.0, so the next unit is used from there on.
    while value >= 999.95 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def age(artifact: Artifact, now: datetime) -> float | None:
    """Seconds since an artifact was finished; None if its manifest has no times."""
    made_by = artifact.manifest.made_by
    try:
        finished = datetime.fromisoformat(made_by["started"]) + timedelta(seconds=made_by["seconds"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if finished.tzinfo is None:
        finished = finished.replace(tzinfo=UTC)
    return max(0.0, (now - finished).total_seconds())


def duration(seconds: float) -> str:
    """Seconds in one unit, for example "3 h"."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def print_metrics(metrics: Mapping[str, Any], style: str = "text") -> None:
    """Print an evaluation as tables, with notes below them."""
    from xmcpipe.metrics.table import frequency_table, notes, table

    print_tables([table(metrics), frequency_table(metrics)], notes(metrics), style)


def print_comparison(comparison: Mapping[str, Any], style: str = "text") -> None:
    """Print two systems side by side, with notes below the table."""
    from xmcpipe.metrics.table import comparison_notes, comparison_table

    print_tables([comparison_table(comparison)], comparison_notes(comparison), style)


def print_tables(tables: Sequence[Sequence[Sequence[str]]], notes: Sequence[str], style: str) -> None:
    """Print tables and notes in the given style: text, markdown or latex.

    Each table is a header followed by rows; empty tables are skipped.
    """
    from xmcpipe.metrics.table import latex, markdown

    for number, (header, *rows) in enumerate(filter(None, tables)):
        if style == "text":
            print_table(header, rows)
        else:
            lines = [list(header), *map(list, rows)]
            echo(("\n" if number else "") + (markdown(lines) if style == "markdown" else latex(lines)))
    if style == "markdown":
        echo("\n" + "\n".join(f"- {note}" for note in notes))
    else:
        for note in notes:
            if style == "latex":
                echo(f"% {note}")
            else:
                say(note)


def _print_line(name: str, fingerprint: str, state: str, time: str, bytes_: str, figures: str) -> None:
    # A figure stays together with its name if the line is folded.
    figures = figures.replace(" ", NO_BREAK).replace(f"{NO_BREAK}·{NO_BREAK}", f"{NO_BREAK}· ")
    say(f"{name:<9} {fingerprint[:16]:<16} {state:<7} {time:>10} {bytes_:>9}  {figures}".rstrip())


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
