"""The training log: a JSON object a line in metrics.jsonl, and the same numbers for TensorBoard.

Each line has its `kind` and the `step`, from 1, after which it was written:

- train: `epoch`, `loss` (the main one, a mean since the last such line), `auxiliary_weight` (s),
  `rate_factor`, `documents_per_second`, `memory_bytes`;
- gradient: `main`, `auxiliary`: L2 norms over all of the encoder's parameters of the gradients of
  (1 - s) * main and of s * auxiliary, which add up to what the step is taken by, without a loss scale and
  before any clipping; null where there is none (the branch is dropped), or none that is finite. Every
  `gradients_every` steps and at a few early ones (training.gradients);
- rewire: `replaced` connections, and their `share`;
- validation: P@1, P@3, P@5.
"""

import json
from pathlib import Path
from typing import Any


class MetricsLog:
    """Appends to FOLDER/metrics.jsonl and FOLDER/tensorboard/.

    A resumed training hands over the step of its checkpoint: lines after it belong to the attempt that was
    killed, and are cut off. TensorBoard's files are skipped where tensorboardX isn't installed.
    """

    def __init__(self, folder: Path, resume_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= resume_step]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._board = _board(folder / "tensorboard", resume_step)

    def write(self, kind: str, step: int, **values: Any) -> None:
        """One line: {"kind": …, "step": …, **values}; floats go to TensorBoard as KIND/NAME too."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Close both."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]  # a killed writer may leave half a line


def _board(folder: Path, resume_step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)
