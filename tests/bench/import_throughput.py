"""Imports a generated PECOS archive: documents per second and peak memory, with 36 labels per document.

    python -m tests.bench.import_throughput --documents 100000 --labels 200000

From two sizes, the memory of a full dataset follows: a constant, plus parts that grow with the number of
(document, label) pairs and with the number of labels.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from scipy import sparse

from xmcpipe.stages.importing import IMPORT, ImportConfig
from xmcpipe.stages.provenance import Meter

WORDS, LABELS_PER_DOCUMENT, WORDS_PER_DOCUMENT, CHUNK = 50_000, 36, 110, 10_000


def write_archive(folder: Path, documents: int, labels: int) -> None:
    """Write X.trn.txt, Y.trn.npz and so on, with labels and words by Zipf's law, and a tenth as test."""
    rng = np.random.default_rng(0)
    words = pl.Series([f"word{number}" for number in range(WORDS)])
    for split, count in (("trn", documents), ("tst", documents // 10)):
        with (folder / f"X.{split}.txt").open("w") as file:
            for first in range(0, count, CHUNK):
                rows = min(CHUNK, count - first)
                drawn = words.gather(rng.zipf(1.3, rows * WORDS_PER_DOCUMENT) % WORDS).to_arrow()
                offsets = pa.array(np.arange(rows + 1, dtype=np.int64) * WORDS_PER_DOCUMENT)
                lists = pl.Series(pa.LargeListArray.from_arrays(offsets, drawn.cast(pa.large_string())))
                file.write(lists.list.join(" ").str.join("\n").item() + "\n")
        indices = (rng.zipf(1.1, count * LABELS_PER_DOCUMENT) % labels).astype(np.int32)
        indptr = np.arange(count + 1, dtype=np.int64) * LABELS_PER_DOCUMENT
        matrix = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), (count, labels))
        sparse.save_npz(folder / f"Y.{split}.npz", matrix)
    (folder / "output-items.txt").write_text("".join(f"product number {n}\n" for n in range(labels)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, out, scratch = (Path(name) / part for part in ("given", "out", "scratch"))
        for each in (folder, out, scratch):
            each.mkdir()
        write_archive(folder, options.documents, options.labels)
        size = sum(path.stat().st_size for path in folder.iterdir())
        config = ImportConfig(folder=str(folder), min_label_count=0, repeated="keep", leaked="keep")
        meter, started = Meter(), time.process_time()
        result = IMPORT.run(config, {}, out, scratch)
        made_by = meter.made_by([], {})
    rows = options.documents + options.documents // 10
    print(
        f"{rows:,} documents x {LABELS_PER_DOCUMENT} labels, {options.labels:,} all, {size / 1e6:,.0f} MB, "
        f"{made_by['seconds']:.1f} s ({time.process_time() - started:.1f} s of CPU), "
        f"{rows / made_by['seconds']:,.0f} documents/s, "
        f"peak {made_by['peak_rss_bytes'] / 2**20:,.0f} MiB; labels {result.figures['labels']:,}"
    )


if __name__ == "__main__":
    main()
