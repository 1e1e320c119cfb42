"""Reads dense arrays that `numpy.save` wrote: 0/1 truth [N, L], scores [N, L], or rankings [N, K].

Legend: N documents · L labels · K ranks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmcpipe.data.label_lists.lists import Int64s, Ints, Scores
from xmcpipe.errors import XmcpipeError
from xmcpipe.lookalikes.inputs import dense_content

VALUES = 1 << 22  # of a piece
Piece = tuple[Int64s, Ints, Scores | None]  # lengths, labels, scores


def read_dense(path: Path, role: str) -> tuple[Iterator[Piece], int | None]:
    """Pieces of an array, some rows each, and L; for rankings L is None.

    Raises XmcpipeError for a file that isn't an array of numbers, and for values that don't fit the role.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        # NumPy's own texts say how to unpickle, which can run code of a stranger.
        way_out = "write one array of numbers with numpy.save; pickles are never loaded"
        raise XmcpipeError(f"{path} can't be read as an array of numbers", way_out) from error
    content = dense_content(str(path), array, role == "predictions")
    return _pieces(array, content), None if content == "rankings" else array.shape[1]


def _pieces(array: npt.NDArray[Any], content: str) -> Iterator[Piece]:
    num_rows, width = array.shape
    step = max(1, VALUES // max(width, 1))
    for first in range(0, num_rows, step):
        part = np.asarray(array[first : first + step])
        if content == "scores":
            yield np.full(len(part), width), np.tile(np.arange(width), len(part)), part.ravel()
            continue
        present = part >= 0 if content == "rankings" else part != 0
        labels = part[present] if content == "rankings" else np.nonzero(present)[1]
        yield present.sum(axis=1), labels, None
