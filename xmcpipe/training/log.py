"""The training log: one JSON object per line in metrics.jsonl, and the same numbers for TensorBoard.

Each line has a `kind`, and the `step` (from 1) after which it was written:

- settings, the first line, with step 0: `train`, the identity of [train] with every value chosen, and the
  numbers of `documents`, `validation_documents`, `steps_per_epoch` and `steps`;
- train: `epoch`, `loss` (mean of the main loss since the previous such line), `auxiliary_weight` (s),
  `rate_factor`, `documents_per_second`, `memory_bytes`;
- gradient: `main`, `auxiliary`: L2 norms, over all parameters of the encoder, of the gradients of
  (1 - s) * main and of s * auxiliary. The sum of the two gradients is the gradient of the step, without the
  loss scale and before clipping. A norm is null if its branch was dropped or if it isn't finite. Written
  every `gradients_every` steps and after a few early steps (training.gradients);
- rewire: `replaced` connections, and `share`, their fraction of all connections; of a growth that looks at
  documents also `words`, the number of words that labels chose, if they read some;
- validation: P@1, P@3, P@5, and PSP@1, PSP@3, PSP@5 by the frequencies in the training split.
"""

import json
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from xmcpipe.json_file import parse_json
from xmcpipe.progress import Figures

# How the names of checkpoints begin; then comes the step. Here, because `status` doesn't import torch.
CHECKPOINT = "checkpoint-"


class MetricsLog:
    """Appends to FOLDER/metrics.jsonl and FOLDER/tensorboard/RUN_NAME/ (if the run has a name).

    `lines` is the log of the checkpoint that a training resumes from, which replaces what the killed run
    wrote; `resume_step` is its step, 0 for a new training. TensorBoard files are written only if tensorboardX
    is installed.
    """

    def __init__(self, folder: Path, lines: bytes = b"", resume_step: int = 0, run_name: str = "") -> None:
        if not resume_step:  # nothing of an earlier attempt
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        path.unlink(missing_ok=True)  # a run that lost its folder to this one may still have the file open
        path.write_bytes(lines)
        self._file = path.open("a", encoding="utf-8")
        # TensorBoard calls a run like the folder of its files.
        run_folder = re.sub(r"[^\w.+ -]", "-", run_name).strip(" .")
        self._board = _board(folder / "tensorboard" / run_folder, resume_step)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Write {"kind": …, "step": …, **values}; numbers also go to TensorBoard as KIND/NAME."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}, allow_nan=False) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add(f"{kind}/{name}", value, step)
            self._board.flush()

    def close(self) -> None:
        """Close the file and the TensorBoard writer."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def shown_figures(
    loss: float, best_by: str, validation: float | None, documents_per_second: float, memory_bytes: int
) -> Figures:
    """What is shown while a training runs; `validation` is the last value of the metric `best_by`, if any."""
    shown: dict[str, tuple[Any, str]] = {"loss": (loss, f"loss {loss:.4g}")}
    if validation is not None:
        shown["validation"] = ({best_by: validation}, f"{best_by} {100 * validation:.2f}")
    shown["documents_per_second"] = (
        round(documents_per_second, 1),
        f"{documents_per_second:,.0f} documents/s",
    )
    shown["memory_bytes"] = (memory_bytes, f"{memory_bytes / 2**30:.2f} GiB")
    return shown


def how_far(scratch: Path) -> dict[str, int]:
    """How far a training is whose log and checkpoints are in `scratch`: step, steps and checkpoint.

    Those are the last step in the log, the number of all steps, and the step of the checkpoint; what is
    unknown is missing.
    """
    rows = _rows(scratch / "log" / "metrics.jsonl")
    found = {key: rows[0][key] for key in ("steps",) if rows and key in rows[0]}
    checkpoints = sorted(path.name for path in scratch.glob(f"{CHECKPOINT}*"))
    if checkpoints:
        found["checkpoint"] = int(checkpoints[-1].removeprefix(CHECKPOINT).split("-")[0])
    steps = [row["step"] for row in rows] + [found.get("checkpoint", 0)]
    return {"step": max(steps), **found}


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; those that can't be read are left out: a killed run may leave half a line."""
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        with suppress(ValueError):
            rows.append(parse_json(line))
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int)]


class Board:
    """Writes the numbers of the log for TensorBoard into a new file in `folder`.

    tensorboardX's own SummaryWriter leaves this to a thread, which waits by the clock: when the clock was set
    back by a month, the thread died, and the training waited for it for ever.
    """

    def __init__(self, folder: Path, resume_step: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter

        folder.mkdir(parents=True, exist_ok=True)
        # The step makes the name new also if the clock, which is the rest of it, was set back.
        self._file = EventsWriter(str(folder / "events"), f".{resume_step}" if resume_step else "")
        if resume_step:
            self._purge(resume_step + 1)

    def _purge(self, step: int) -> None:
        """Let TensorBoard forget what a killed run wrote at and after `step`."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._file.write_event(Event(step=step, file_version="brain.Event:2"))
        self._file.write_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, name: str, value: float, step: int) -> None:
        """Write one number; it is in the file after `flush`."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        self._file.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))

    def flush(self) -> None:
        """Write to the file what was added."""
        self._file.flush()

    def close(self) -> None:
        """Write everything, and close the file."""
        self._file.close()


def _board(folder: Path, resume_step: int) -> Board | None:
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        return None
    return Board(folder, resume_step)
