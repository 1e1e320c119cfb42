"""Which checkpoint a training continues from, and the weights of its best evaluation: only what is whole.

A checkpoint is verified before anything is read from it. If the newest is damaged, training continues from
the one before it; if both are, it begins again. Each of these is said in one line.
"""

import logging
from pathlib import Path

from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.tensors import TensorFile, save
from xmcpipe.training import checkpoint
from xmcpipe.training.checkpoint import Progress, best_path
from xmcpipe.training.growth.state import Growth

logger = logging.getLogger(__name__)


def newest_whole(folder: Path, growth: Growth | None) -> Path | None:
    """The newest whole checkpoint in `folder`; None if there is none. Damaged ones are removed.

    `growth` knows the features on disk to which a checkpoint refers.
    """
    damaged: dict[Path, str] = {}
    found = None
    for path in checkpoint.newest_first(folder):
        fault = checkpoint.fault(path)
        if fault is None and growth is not None:
            fault = growth.fault(TensorFile(path / checkpoint.TENSORS), checkpoint.STATE)
        if fault is None:
            found = path
            break
        damaged[path] = fault
    if damaged:
        faults = "; ".join(f"{path.name} is damaged ({fault})" for path, fault in damaged.items())
        logger.warning("warning: %s: %s", faults, _consequence(found))
    checkpoint.remove(folder, list(damaged))
    return found


def _consequence(found: Path | None) -> str:
    if found is None:
        return "no whole checkpoint is left, so training begins again"
    return f"training continues from the one before, at step {checkpoint.read_progress(found).step}"


def save_if_best(folder: Path, model: Model, progress: Progress, value: float) -> None:
    """Count an evaluation that found `value`; if it is the best so far, save the weights of `model`.

    Of equal values the first stays the best.
    """
    if progress.best_value is not None and value <= progress.best_value:
        progress.since_best += 1
        return
    progress.best_value, progress.best_step, progress.since_best = value, progress.step, 0
    progress.best_sha256 = save(best_path(folder, progress), model.state_dict())


def load_best(folder: Path, model: Model, progress: Progress) -> None:
    """Give `model` the weights of the best evaluation, if there was one.

    Raises XmcpipeError if their file is damaged or missing. The next run then continues from a checkpoint
    whose best weights are whole.
    """
    if not progress.best_sha256:
        return
    path = best_path(folder, progress)
    if not path.is_file() or sha256_of_file(path) != progress.best_sha256:
        raise XmcpipeError(
            f"the weights of the best evaluation, {path}, are damaged or missing",
            "run the stage again: it continues from the last whole checkpoint, or begins again",
        )
    file = TensorFile(path)
    for name, tensor in model.state_dict().items():
        file.read_into(name, tensor)
