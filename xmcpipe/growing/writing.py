"""Writes a grown model: the files of a model artifact, and the calibration of the old labels if there is one.

L labels of the model, M new ones.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.calibration.files import has_calibration
from xmcpipe.calibration.saved import Calibration, read_calibration
from xmcpipe.data.vocabulary_file import COUNTS, read_label_documents
from xmcpipe.growing.grow import Grown, Parent
from xmcpipe.growing.labels import NewLabels
from xmcpipe.modeling.saved import save_model
from xmcpipe.pieces import Pieces

KEPT = ("documents", "recipe")  # of the facts of the old model; its figures are not those of this one


def write_grown(grown: Grown, parent: Parent, new: NewLabels, calibration: Path | None, out: Path) -> None:
    """Write the model into the folder `out`; `calibration` is the folder of that of the parent, if any.

    The calibration goes into the same folder: old labels keep their probabilities and thresholds, and new
    ones have those of old labels that are about as frequent.
    """
    facts: dict[str, Any] = {key: grown.facts[key] for key in KEPT if key in grown.facts}
    before = grown.facts.get(
        "grown", {"labels": len(parent.labels), "figures": grown.facts.get("figures", {})}
    )
    save_model(out, grown.model, Pieces.of(grown.facts), {**facts, "grown": before}, parent.folder)
    shutil.copytree(parent.folder / "tokenizer", out / "tokenizer")
    _write_labels(parent, new, grown.counts_M, out / "labels.parquet")
    if calibration is None and has_calibration(parent.folder):
        calibration = parent.folder
    if calibration is not None:
        _extended(read_calibration(calibration, len(parent.labels)), grown.counts_M).write(out)


def _write_labels(parent: Parent, new: NewLabels, counts_M: npt.NDArray[np.int64], out: Path) -> None:
    """Write the vocabulary with the new labels at the end, with the documents of each if it has them."""
    columns = {
        "label": pa.chunked_array([*parent.labels["label"].chunks, pa.array(new.names, pa.string())]),
        "text": pa.chunked_array([*parent.labels["text"].chunks, pa.array(new.texts, pa.string())]),
    }
    if (counts_L := read_label_documents(parent.folder)) is not None:
        columns[COUNTS] = pa.array(np.concatenate([counts_L, counts_M]), pa.int32())
    pq.write_table(pa.table(columns), out)


def _extended(old: Calibration, counts_M: npt.NDArray[np.int64]) -> Calibration:
    """The calibration of L + M labels: a new label's threshold is the most common one of its range."""
    place_M = old.maps.places(counts_M)
    threshold_M = np.empty(len(counts_M), np.float32)
    for place in np.unique(place_M):
        of_range = old.threshold_L[old.place_L == place]
        values, counts = np.unique(of_range if len(of_range) else old.threshold_L, return_counts=True)
        threshold_M[place_M == place] = values[counts.argmax()]
    return replace(
        old,
        place_L=np.concatenate([old.place_L, place_M]),
        threshold_L=np.concatenate([old.threshold_L, threshold_M]),
    )
