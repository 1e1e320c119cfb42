"""The calibration of a model on disk, in its own artifact or in the folder of a copied model.

calibration.json      version · method · ranges: [{least, function}], as in maps.py · loss of the model ·
                      f1: the threshold for all labels, and its F1 on the held-out documents · documents held
                      out, labels, candidates of each document · trials: the ways that were compared ·
                      reliability: k -> before and after, on documents that nothing was fitted to; before is
                      null if the scores of the model have no probability of their own · order: P@k of the
                      orders by score and by probability, and which is better (absent from older ones)
calibration.parquet   range int8: the label's place in `ranges` · threshold float32: the label's own, for
                      macro-f1. Row i is label id i.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.artifacts.versions import CALIBRATION_VERSION
from xmcpipe.calibration.files import FACTS, TABLE
from xmcpipe.calibration.maps import FrequencyMaps, from_table
from xmcpipe.calibration.thresholds import Threshold
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import read_json_object

SCHEMA = pa.schema([("range", pa.int8()), ("threshold", pa.float32())])


@dataclass(frozen=True)
class Calibration:
    """Functions from scores to probabilities, and thresholds.

    `place_L` int8 [L] is the function of each label. `f1` is the threshold for all labels, `threshold_L`
    float32 [L] are those of the labels. `facts` are all other keys of calibration.json (JSON types).
    """

    maps: FrequencyMaps
    place_L: npt.NDArray[np.int8]
    f1: Threshold
    threshold_L: npt.NDArray[np.float32]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def candidates(self) -> int:
        """The number of labels of a document, best first by score, that the functions were fitted to."""
        return int(self.facts["candidates"])

    @property
    def better_order(self) -> str:
        """ "probability" if held-out documents say that labels are better ordered by it, else "score"."""
        order = self.facts.get("order")
        better = isinstance(order, dict) and order.get("better") == "probability"
        return "probability" if better else "score"

    def probabilities(
        self, labels: npt.NDArray[np.integer[Any]], scores: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float32]:
        """The probabilities of `labels`, float32, of the same shape as they and their `scores`."""
        return self.maps(self.place_L[labels], scores).astype(np.float32)

    def log_odds(
        self, labels: npt.NDArray[np.integer[Any]], scores: npt.NDArray[np.floating[Any]]
    ) -> npt.NDArray[np.float32]:
        """The logarithms of p / (1 - p) of these probabilities p, as `probabilities`."""
        return self.maps.log_odds(self.place_L[labels], scores).astype(np.float32)

    def write(self, folder: Path) -> None:
        """Write both files into `folder`."""
        ranges = [
            {"least": least, "function": function.table()}
            for least, function in zip(self.maps.least, self.maps.maps, strict=True)
        ]
        table = {"version": CALIBRATION_VERSION, "ranges": ranges, "f1": vars(self.f1), **self.facts}
        text = json.dumps(table, indent=2, allow_nan=False) + "\n"
        (folder / FACTS).write_text(text, encoding="utf-8")
        columns = [pa.array(self.place_L), pa.array(self.threshold_L)]
        pq.write_table(pa.table(columns, schema=SCHEMA), folder / TABLE, compression="zstd")


def read_facts(folder: Path) -> dict[str, Any]:
    """The contents of calibration.json in `folder`.

    Raises XmcpipeError if it can't be read, or for another version.
    """
    try:
        facts = read_json_object(folder / FACTS)
        json.dumps(facts, allow_nan=False)  # JSON has no infinity, but Python reads 1e999 as one
    except (OSError, ValueError) as error:
        raise XmcpipeError(
            f"{folder} holds no calibration that can be read: {error}", "run `xmcpipe calibrate` again"
        ) from error
    if facts.get("version") != CALIBRATION_VERSION:
        raise XmcpipeError(
            f"{folder}: expected calibration format {CALIBRATION_VERSION}, got {facts.get('version')}",
            "run `xmcpipe calibrate` again",
        )
    return facts


def read_calibration(folder: Path, num_labels: int) -> Calibration:
    """The calibration in `folder`, of a model with this number of labels.

    Raises XmcpipeError if it can't be read, for another version or number of labels, and for functions that
    don't rise or thresholds that are no probabilities.
    """
    facts = read_facts(folder)
    try:
        ranges, f1 = facts.pop("ranges"), Threshold(**facts.pop("f1"))
        least = tuple(int(each["least"]) for each in ranges)
        maps = FrequencyMaps(least, tuple(from_table(each["function"]) for each in ranges))
        place_L, threshold_L = _read_table(folder / TABLE, num_labels)
        if int(place_L.min(initial=0)) < 0 or int(place_L.max(initial=0)) >= len(least):
            raise ValueError(f"expected ranges from 0 to {len(least) - 1} of the labels")
        if not isinstance(facts["candidates"], int) or facts["candidates"] < 1:
            raise ValueError(f"expected a number of candidates, got {facts['candidates']!r}")
        if not (0 <= f1.value <= 1 and np.all((threshold_L >= 0) & (threshold_L <= 1))):
            raise ValueError("expected thresholds between 0 and 1")
    except (
        OSError,
        pa.ArrowException,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
    ) as error:
        raise XmcpipeError(
            f"{folder}: the calibration can't be read: {error}", "run `xmcpipe calibrate` again"
        ) from error
    return Calibration(maps, place_L, f1, threshold_L, facts)


def _read_table(path: Path, num_labels: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    if not path.is_file():  # opening a pipe would wait for ever
        raise ValueError(f"{path.name} is missing or not an ordinary file")
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows != num_labels:
            raise ValueError(
                f"expected {num_labels:,} labels, as the model has, got {file.metadata.num_rows:,}"
            )
        if not file.schema_arrow.equals(SCHEMA):
            raise ValueError(f"expected the columns range int8 and threshold float32 in {path.name}")
        table = file.read()
    if any(column.null_count for column in table.columns):
        raise ValueError(f"a value in {path.name} is missing")
    return table["range"].to_numpy(), table["threshold"].to_numpy()
