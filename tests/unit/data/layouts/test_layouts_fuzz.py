"""Damaged folders of every layout: an error, or the same result as a naive reader of the same bytes."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from tests.layout_folders import MAKERS, NAMES, TRAIN, attentionxml, lines, pecos, write, x_y_text, xc_raw
from xmcpipe.data.layouts import LayoutOptions, detect_layout, layout_files, layout_names, read_layout
from xmcpipe.data.npz import read_csr
from xmcpipe.errors import XmcpipeError

Rows = list[tuple[str, set[str]]]
ENCODINGS = ("latin-1", "utf-16", "cp1252", "utf-8-sig")


def read(folder: Path, layout: str) -> dict[str, Rows]:
    """The text and label names of each document, as xmcpipe reads them."""
    documents = read_layout(folder, layout, LayoutOptions())
    names = None if documents.label_table is None else documents.label_table["label"].to_list()
    return {
        split: [
            (text, {str(label) if names is None else names[label] for label in labels})
            for batch in batches
            for text, labels in batch.select("text", "labels").rows()
        ]
        for split, batches in documents.splits.items()
    }


def plain(folder: Path, layout: str) -> dict[str, Rows]:
    """The same, read without any checks. Raises any kind of error."""
    files = layout_files(folder, layout)
    names = plain_names(files, plain_width(files))
    found: dict[str, Rows] = {}
    for split in ("train", "test"):
        texts = plain_lines(files[f"{split}_text"])
        if layout == "xc_raw":
            records = [json.loads(line) for line in texts if line.strip()]
            text = [
                " ".join(filter(None, (str(r.get(f) or "").strip() for f in ("title", "content"))))
                for r in records
            ]
            labels: list[set[int]] | list[set[str]] = [
                {int(label) for label in r.get("target_ind") or [] if label is not None} for r in records
            ]
        else:
            text, labels = [line.strip() for line in texts], plain_labels(files[f"{split}_labels"], layout)
        assert len(text) == len(labels)
        named = [
            {name if isinstance(name, str) else names[name] if names else str(name) for name in y}
            for y in labels
        ]
        found[split] = list(zip(text, named, strict=True))
    return found


def plain_lines(path: Path) -> list[str]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    parts = data.decode("utf-8-sig").split("\n")
    return [line.removesuffix("\r") for line in (parts if parts[-1] else parts[:-1])]


def plain_width(files: dict[str, Path]) -> int:
    """The number of labels stated in the label files, or 0."""
    found = 0
    for split in ("train", "test"):
        path = files.get(f"{split}_labels", Path())
        if path.suffix == ".npz":
            with path.open("rb") as file:
                found = sparse.load_npz(file).shape[1]
        elif path.name.endswith("X_Y.txt"):
            words = [*plain_lines(path), ""][0].split()
            found = int(words[1]) if is_header(words) else found
    return found


def is_header(words: list[str]) -> bool:
    return len(words) == 2 and ":" not in "".join(words)


def plain_names(files: dict[str, Path], width: int) -> list[str]:
    """The name of each label; no names if labels are numbers."""
    if "names" not in files:
        return []
    if ".json" in files["names"].name:
        records = [json.loads(line) for line in plain_lines(files["names"]) if line.strip()]
        names = [str(record.get("uid") or "").strip() for record in records]
    else:
        names = [line.strip() for line in plain_lines(files["names"])]
        while len(names) > width and not names[-1]:
            names.pop()
    distinct = len(set(names)) == len(names) and "" not in names
    return names if distinct else [str(number) for number in range(len(names))]


def plain_labels(path: Path, layout: str) -> list[set[int]] | list[set[str]]:
    if path.suffix == ".npz":
        with path.open("rb") as file:  # with a path, NumPy leaves the file of a broken archive open
            matrix = sparse.load_npz(file).tocsr()
        return [set(matrix[row].nonzero()[1].tolist()) for row in range(matrix.shape[0])]
    rows = [line.split() for line in plain_lines(path)]
    if layout == "attentionxml":
        return [set(row) for row in rows]
    if rows and is_header(rows[0]):
        rows = rows[1 : 1 + int(rows[0][0])]
    pairs = [[pair.split(":", 1) for pair in row] for row in rows]
    return [{int(label) for label, value in row if float(value)} for row in pairs]


def cut(data: bytes, at: int) -> bytes:
    return data[: at % (len(data) + 1)]


def shuffle(data: bytes, at: int) -> bytes:
    rng, start = np.random.default_rng(at), at % (len(data) + 1)
    middle = bytearray(data[start : start + 9])
    rng.shuffle(middle)
    return data[:start] + bytes(middle) + data[start + 9 :]


def flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    if changed:
        changed[at % len(changed)] ^= 1 << at % 8
    return bytes(changed)


def insert(data: bytes, at: int) -> bytes:
    piece = [
        b"\n",
        b"\r\n",
        b"\x00",
        b"\xff",
        b" ",
        b"\t",
        b"\xc3",
        b"\xe2\x80\xa8",
        b'"',
        b":",
        b"-1",
        b"9" * 30,
    ][at % 12]
    start = at % (len(data) + 1)
    return data[:start] + piece + data[start:]


def drop_line(data: bytes, at: int) -> bytes:
    parts = data.splitlines(keepends=True)
    del parts[at % (len(parts) + 1) : at % (len(parts) + 1) + 1]
    return b"".join(parts)


def transcode(data: bytes, at: int) -> bytes:
    try:
        return data.decode().encode(ENCODINGS[at % 4])
    except UnicodeError:
        return data[::-1]


MUTATIONS: list[Callable[[bytes, int], bytes]] = [cut, shuffle, flip, insert, drop_line, transcode]
damages = st.lists(st.tuples(st.sampled_from(MUTATIONS), st.integers(0, 20_000)), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each layout."""
    folder = tmp_path_factory.mktemp("whole")
    for layout, make in MAKERS.items():
        if layout == "xc_raw":
            xc_raw(folder / layout, suffix="")
        else:
            make(folder / layout)
    return folder


@pytest.mark.parametrize("layout", layout_names())
@settings(max_examples=70)
@given(which=st.integers(0, 20), damage=damages)
def test_an_error_or_the_right_parse(
    whole: Path,
    tmp_path_factory: pytest.TempPathFactory,
    layout: str,
    which: int,
    damage: list[tuple[Callable[[bytes, int], bytes], int]],
) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "x"
    shutil.copytree(whole / layout, folder)
    files = list(layout_files(folder, layout).values())
    path = files[which % len(files)]
    data = path.read_bytes()
    for mutate, at in damage:
        data = mutate(data, at)
    path.write_bytes(data)
    try:
        found = read(folder, layout)
    except XmcpipeError:
        return
    finally:
        expected = safe_plain(folder, layout)
        shutil.rmtree(folder)
    assert found == expected


def safe_plain(folder: Path, layout: str) -> dict[str, Rows] | str:
    try:
        return plain(folder, layout)
    except Exception as error:  # then xmcpipe must raise an error too
        return repr(error)


@settings(max_examples=60)
@given(st.binary(max_size=60), st.sampled_from(["npz", "gz", "txt", "json"]))
def test_any_bytes_at_all(tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    make, name = {
        "npz": (pecos, "Y.trn.npz"),
        "gz": (xc_raw, "trn.json.gz"),
        "txt": (x_y_text, "trn_X_Y.txt"),
        "json": (xc_raw, "lbl.json.gz"),
    }[kind]
    make(folder)
    path = next(folder.rglob(name))
    path.write_bytes(gzip.compress(data) if kind == "json" else data)
    layout = detect_layout(folder)
    try:
        found = read(folder, layout)
    except XmcpipeError:
        found = None
    expected = safe_plain(folder, layout)
    shutil.rmtree(folder)
    assert found in (None, expected)


@settings(max_examples=40)
@given(st.sampled_from(["indptr", "indices", "data", "shape", "format"]), st.integers(0, 11))
def test_forged_matrices(tmp_path_factory: pytest.TempPathFactory, name: str, number: int) -> None:
    arrays = {
        "indptr": np.array([0, 2, 3]), "indices": np.array([0, 1, 2]), "data": np.ones(3),
        "shape": np.array([2, 3]), "format": np.array(b"csr"),
    }  # fmt: skip
    forged = [
        np.array([0, 3, 2]), np.array([0, 2**62, 3]), np.array([-1, 2, 3]), np.array([[0, 2]]), np.array(3),
        np.array([0.0, 2.0, 3.0]), np.array([], np.int64), np.array(["a", "b", "c"]), np.array([0, 2, 9]),
        np.array([np.nan, 1, 1]), np.array([2**64 - 1, 1, 2], np.uint64), np.array([{}, 1, 2], object),
    ][number]  # fmt: skip
    path = tmp_path_factory.mktemp("forged") / "Y.npz"
    np.savez(path, allow_pickle=True, **{**arrays, name: forged})
    try:
        matrix = read_csr(path)
    except XmcpipeError:
        return
    assert len(matrix) == 2
    assert matrix.indptr[-1] == len(matrix.indices) == len(matrix.values)
    assert matrix.width == 3
    assert matrix.indices.max(initial=0) < 3


def test_a_line_without_an_end_is_no_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcpipe.data.tables.lines.BLOCK_CHARACTERS", 4)
    monkeypatch.setattr("xmcpipe.data.tables.lines.LONGEST_LINE", 20)
    x_y_text(tmp_path)
    assert len(read(tmp_path, "x_y")["train"]) == 5
    write(tmp_path / "raw_data" / "test.raw.txt", b"one\n" + b"x" * 30 + b"\n")
    with pytest.raises(XmcpipeError, match=r"test\.raw\.txt, after line 1: a line has more than 20 char"):
        read(tmp_path, "x_y")


def test_huge_lines_and_empty_files(tmp_path: Path) -> None:
    pecos(tmp_path / "a")
    long = "x " * 5_000_000  # more than a block
    write(next((tmp_path / "a").rglob("X.trn.txt")), lines([long, *(text for text, _ in TRAIN[1:])]))
    assert read(tmp_path / "a", "pecos")["train"][0] == (long.strip(), {"zebra", "10"})
    attentionxml(tmp_path / "b")
    for split in ("train", "test"):
        write(tmp_path / "b" / f"{split}_labels.txt", b"")
        write(tmp_path / "b" / f"{split}_raw_texts.txt", b"")
    assert read(tmp_path / "b", "attentionxml") == {"train": [], "test": []}
    x_y_text(tmp_path / "c")
    write(tmp_path / "c" / "trn_X_Y.txt", lines(["1 5", " ".join(f"{n % 5}:1" for n in range(300_000))]))
    write(tmp_path / "c" / "raw_data" / "train.raw.txt", b"one")
    assert read(tmp_path / "c", "x_y")["train"] == [("one", set(NAMES))]
