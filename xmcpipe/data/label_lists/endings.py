"""The format of a file of label lists, by its ending; and what to do with a file of another format."""

from pathlib import Path

from xmcpipe.data.tables.checks.opening import first_lines, unpacked_name
from xmcpipe.data.tables.checks.written import written_kind
from xmcpipe.errors import XmcpipeError

ENDINGS = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "table",
    ".tsv": "table",
    ".txt": "text",
    ".svm": "text",
    ".npz": "npz",
    ".npy": "npy",
}
COMPRESSED = ("json", "table", "text")  # may end in .gz, .bz2 or .xz
UNPACKERS = {".gz": "gunzip", ".bz2": "bunzip2", ".xz": "unxz"}
KNOWN = (
    "known formats: .parquet, .jsonl, .json, .csv, .tsv, .txt (these also .gz, .bz2, .xz), .npz, .npy and "
    "artifacts; end the name of another text file in .txt"
)
PICKLED = "pickles are never loaded, because they can run code: write lists as .jsonl, a matrix as .npz or"
PICKLED += " .npy"
DECOMPRESS = "decompress it, or compress it with gzip"
TABLE = "write it as .csv or .parquet"
RANKED = "write its columns as .csv with the header line id,label,score; end other text in .txt"
WAYS_OUT = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), PICKLED),
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), f"{PICKLED}: numpy.save(path, tensor.numpy())"),
    **dict.fromkeys((".zst", ".zip", ".7z", ".lz4", ".tar"), DECOMPRESS),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".feather", ".arrow", ".orc", ".h5", ".hdf5"), TABLE),
    **dict.fromkeys((".trec", ".run", ".qrels", ".qrel", ".res"), RANKED),
    ".mat": "write its matrix as .npz: scipy.sparse.save_npz(path, matrix)",
    ".libsvm": "end its name in .svm",
    ".svmlight": "end its name in .svm",
}


def kind_of(path: Path, role: str) -> str:
    """The format of a file. Raises XmcpipeError for an unknown ending, with what to do."""
    unpacked = unpacked_name(path)
    packed = path.name.lower().removeprefix(unpacked)
    suffix = Path(unpacked).suffix
    kind = ENDINGS.get(suffix)
    if kind is None:
        _require_known_kind(path, role)
        raise XmcpipeError(f"{role}: unknown format of {path}", WAYS_OUT.get(suffix, KNOWN))
    if kind not in COMPRESSED and packed:
        way_out = f"decompress it: {UNPACKERS[packed]} FILE"
        raise XmcpipeError(f"{role}: expected {suffix} without {packed}, got {path}", way_out)
    return kind


def _require_known_kind(path: Path, role: str) -> None:
    """Raise XmcpipeError if the content of a file of an unknown ending tells what it is."""
    try:
        lines = first_lines(path, "utf-8")
    except XmcpipeError:
        return
    if written := written_kind(lines):
        raise XmcpipeError(f"{role}: unknown format of {path}: it is {written[0]}", written[1])
