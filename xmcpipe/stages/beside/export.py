"""Exports a raw or predictions artifact to files that other systems read.

pecos: X.trn.txt, X.tst.txt (one text per line), Y.trn.npz, Y.tst.npz (CSR), output-items.txt; for
    predictions P.tst.npz, the scores as a CSR matrix.
xc: raw/trn_X.txt, raw/tst_X.txt, raw/Y.txt (one text per line), trn_X_Y.txt, tst_X_Y.txt (`N L`, then label:1
    pairs); for predictions tst_predictions.txt, `N L` and then label:score pairs, best first.

Both formats also have lbl.json with the names and texts of the labels, and the filter pairs under the file
names of the Extreme Classification Repository. Rows and labels keep the order of the artifact and are counted
from 0. Memory holds one batch of documents at a time, and the label matrix.
"""

from pathlib import Path
from typing import Literal

from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import require_whole
from xmcpipe.artifacts.versions import PREDICTIONS_VERSION, RAW_VERSION
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.beside.new_folder import new_folder, sizes_of_files

Format = Literal["pecos", "xc"]
SHORT = {"train": "trn", "test": "tst"}  # the names of the splits in file names of both formats
VERSIONS = {"raw": RAW_VERSION, "predictions": PREDICTIONS_VERSION}


def export(folder: Path, format_: Format, out: Path) -> dict[str, int]:
    """Export the artifact in `folder` to `out`, a new or empty folder; after an error, no files are left.

    Returns the size in bytes of each file, by file name. Raises XmcpipeError if `folder` is not an artifact
    of raw data or predictions, or if `out` is not empty.
    """
    artifact = Artifact.at(folder)
    manifest = artifact.manifest
    if manifest.kind not in VERSIONS:
        raise XmcpipeError(
            f"expected an artifact of raw data or predictions, got one of {manifest.kind} in {folder}",
            "name a folder that download, import or predict wrote; a model has --format onnx",
        )
    manifest.require(manifest.kind, VERSIONS[manifest.kind])
    require_whole(artifact)
    import pyarrow as pa

    with new_folder(out) as building:
        try:
            write = _export_raw if manifest.kind == "raw" else _export_predictions
            write(folder, format_, building)
        except pa.ArrowInvalid as error:
            raise XmcpipeError(
                f"{folder} can't be read: {error}", "run its stage again with --force"
            ) from error
        return sizes_of_files(building)


def _export_raw(folder: Path, format_: Format, out: Path) -> None:
    """Write the files of a raw artifact into `out`."""
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.layouts.writing import write_filter_pairs, write_label_json, write_label_texts
    from xmcpipe.data.raw.writing import read_labels

    labels = read_labels(folder)
    write_label_json(out / "lbl.json", labels)
    write_label_texts(out / ("output-items.txt" if format_ == "pecos" else "raw/Y.txt"), labels)
    for split in SHORT:
        write_split = _pecos_split if format_ == "pecos" else _xc_split
        write_split(folder, split, out, len(labels))
        pairs = FilterPairs.read(folder, split, len(labels))
        write_filter_pairs(out / f"filter_labels_{split}.txt", pairs)


def _pecos_split(folder: Path, split: str, out: Path, num_labels: int) -> None:
    """Write texts and label matrix of a split in the format of PECOS."""
    from xmcpipe.data.layouts.writing import CsrColumns, write_text_lines
    from xmcpipe.data.raw.writing import read_documents

    matrix = CsrColumns(num_labels)
    with (out / f"X.{SHORT[split]}.txt").open("wb") as texts:
        for batch in read_documents(folder, split):
            write_text_lines(texts, batch["text"])
            matrix.add(batch["labels"])
    matrix.write(out / f"Y.{SHORT[split]}.npz")


def _xc_split(folder: Path, split: str, out: Path, num_labels: int) -> None:
    """Write texts and label lines of a split in the format of the Extreme Classification Repository."""
    import pyarrow.parquet as pq

    from xmcpipe.data.layouts.writing import header, write_pairs, write_text_lines
    from xmcpipe.data.raw.writing import read_documents

    short = SHORT[split]
    with (out / f"raw/{short}_X.txt").open("wb") as texts, (out / f"{short}_X_Y.txt").open("wb") as pairs:
        pairs.write(header(pq.read_metadata(folder / f"{split}.parquet").num_rows, num_labels))
        for batch in read_documents(folder, split):
            write_text_lines(texts, batch["text"])
            write_pairs(pairs, batch["labels"])


def _export_predictions(folder: Path, format_: Format, out: Path) -> None:
    """Write the files of a predictions artifact into `out`."""
    import pyarrow.parquet as pq

    from xmcpipe.data.layouts.writing import header, write_label_json, write_label_texts, write_pairs
    from xmcpipe.data.predictions import write_predictions_npz
    from xmcpipe.data.raw.writing import read_labels

    labels, table = read_labels(folder), folder / "predictions.parquet"
    write_label_json(out / "lbl.json", labels)
    if format_ == "pecos":
        write_label_texts(out / "output-items.txt", labels)
        write_predictions_npz([table], out / "P.tst.npz", len(labels))
        return
    with pq.ParquetFile(table) as file, (out / "tst_predictions.txt").open("wb") as pairs:
        pairs.write(header(file.metadata.num_rows, len(labels)))
        for batch in file.iter_batches(columns=["labels", "scores"]):
            write_pairs(pairs, batch["labels"], batch["scores"])
