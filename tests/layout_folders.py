"""Miniature folders of one dataset in each public layout, written like the real ones."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse

# Text and labels (rows of NAMES): with a document without a label, one without text, and a label that only
# the test split has.
TRAIN = [("red fox", [1, 0]), ("Käse, größer", [2]), ("", [0]), ("a late bird", [3, 1]), ("nothing", [])]
TEST = [("blue fox", [0]), ("an early bird", [4, 3])]
NAMES = ["zebra", "10", "2", "apple", "ärger"]
SPLITS = {"trn": TRAIN, "tst": TEST}
FILTERS = {"train": [(3, 1), (0, 2)], "test": [(1, 4)]}
Documents = list[tuple[str, list[int]]]


def lines(items: list[str], end: str = "\n") -> bytes:
    return "".join(item + end for item in items).encode()


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def save_npz(path: Path, documents: Documents, width: int = len(NAMES)) -> None:
    indptr = np.cumsum([0, *(len(labels) for _, labels in documents)])
    indices = np.array([label for _, labels in documents for label in labels], np.int32)
    matrix = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), (len(documents), width))
    path.parent.mkdir(parents=True, exist_ok=True)
    sparse.save_npz(path, matrix)


def x_y(documents: Documents, header: bool = True, width: int = len(NAMES)) -> bytes:
    rows = [" ".join(f"{label}:1" for label in labels) for _, labels in documents]
    return lines([f"{len(documents)} {width}", *rows] if header else rows)


def attentionxml(folder: Path) -> None:
    for split, documents in (("train", TRAIN), ("test", TEST)):
        write(folder / f"{split}_raw_texts.txt", lines([text for text, _ in documents]))
        names = [" ".join(NAMES[label] for label in labels) for _, labels in documents]
        write(folder / f"{split}_labels.txt", lines(names))


def xtransformer(folder: Path) -> None:
    for split, short, documents in (("train", "trn", TRAIN), ("test", "tst", TEST)):
        write(folder / f"{split}_raw_texts.txt", lines([text for text, _ in documents]))
        save_npz(folder / f"Y.{short}.npz", documents)
    write(folder / "label_map.txt", lines(NAMES))


def pecos(folder: Path) -> None:
    inside = folder / "xmc-base" / "mini"
    for split, documents in SPLITS.items():
        write(inside / f"X.{split}.txt", lines([text for text, _ in documents]))
        save_npz(inside / f"Y.{split}.npz", documents)
    save_npz(inside / "tfidf-attnxml" / "X.trn.npz", TRAIN)
    write(inside / "output-items.txt", lines(NAMES))


def xc_raw(folder: Path, suffix: str = ".gz") -> None:
    for split, documents in SPLITS.items():
        rows = [
            {"uid": f"{split}{n}", "title": text, "content": "", "target_ind": labels, "target_rel": [1.0]}
            for n, (text, labels) in enumerate(documents)
        ]
        write(folder / f"{split}.json{suffix}", lines([json.dumps(row) for row in rows]))
    labels = [json.dumps({"uid": name, "title": f"about {name}", "content": ""}) for name in NAMES]
    write(folder / f"lbl.json{suffix}", lines(labels))
    for split, pairs in FILTERS.items():
        write(folder / f"filter_labels_{split}.txt", lines([f"{row} {label}" for row, label in pairs]))


def x_y_text(folder: Path, header: bool = True) -> None:
    for split, long, documents in (("trn", "train", TRAIN), ("tst", "test", TEST)):
        write(folder / "raw_data" / f"{long}.raw.txt", lines([text for text, _ in documents]))
        write(folder / f"{split}_X_Y.txt", x_y(documents, header))
    write(folder / "Yf.txt", lines(NAMES))
    write(folder / "tst_filter_labels.txt", b"1 4")


MAKERS: dict[str, Callable[[Path], None]] = {
    "attentionxml": attentionxml,
    "xtransformer": xtransformer,
    "pecos": pecos,
    "xc_raw": xc_raw,
    "x_y": x_y_text,
}
