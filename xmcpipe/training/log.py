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
from contextlib import suppress
from pathlib import Path
from typing import Any

from xmcpipe.progress import Figures


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
        path.write_bytes(lines)
        self._file = path.open("a", encoding="utf-8")
        # TensorBoard calls a run like the folder of its files.
        run_folder = re.sub(r"[^\w.+ -]", "-", run_name).strip(" .")
        self._board = _board(folder / "tensorboard" / run_folder, resume_step)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Write {"kind": …, "step": …, **values}; numbers also go to TensorBoard as KIND/NAME."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

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
    checkpoints = sorted(path.name for path in scratch.glob("checkpoint-*"))
    if checkpoints:
        found["checkpoint"] = int(checkpoints[-1].split("-")[1])
    steps = [row["step"] for row in rows] + [found.get("checkpoint", 0)]
    return {"step": max(steps), **found}


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; those that can't be read are left out: a killed run may leave half a line."""
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        with suppress(ValueError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int)]


def _board(folder: Path, resume_step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)
