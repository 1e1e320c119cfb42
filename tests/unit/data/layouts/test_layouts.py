"""Every layout gives the same documents and labels."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.layout_folders import (
    FILTERS,
    MAKERS,
    NAMES,
    TEST,
    TRAIN,
    lines,
    write,
    x_y,
    x_y_text,
    xc_raw,
)
from tests.unit.data.layouts.documents import GOLDEN, read, rows
from xmcpipe.data.layouts import LayoutOptions, detect_layout, layout_names
from xmcpipe.errors import XmcpipeError

LABELLED = b'{"title": "a", "content": "", "target_ind": %s}'


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("layout", layout_names())
def test_every_layout_gives_the_same_documents(tmp_path: Path, layout: str) -> None:
    MAKERS[layout](tmp_path)
    assert detect_layout(tmp_path) == layout
    documents = read(tmp_path)
    assert rows(documents) == GOLDEN
    assert documents.label_table is not None
    # sorted, numbers first, if the layout has no order of its own
    order = ["2", "10", "apple", "zebra", "ärger"] if layout == "attentionxml" else NAMES
    assert documents.label_table["label"].to_list() == order
    texts = [f"about {name}" for name in order] if layout == "xc_raw" else order
    assert documents.label_table["text"].to_list() == texts


@pytest.mark.parametrize("layout", layout_names())
def test_ids_are_distinct_and_the_repositorys_where_it_has_some(tmp_path: Path, layout: str) -> None:
    MAKERS[layout](tmp_path)
    ids = pl.concat(list(read(tmp_path).splits["train"]))["id"].to_list()
    assert ids == [f"trn{n}" if layout == "xc_raw" else str(n) for n in range(5)]


@pytest.mark.parametrize("layout", layout_names())
@pytest.mark.parametrize("change", ["no final newline", "crlf", "mark"])
def test_line_ends_and_marks(tmp_path: Path, layout: str, change: str) -> None:
    if layout == "xc_raw":
        xc_raw(tmp_path, suffix="")
    else:
        MAKERS[layout](tmp_path)
    for path in [*tmp_path.rglob("*.txt"), *tmp_path.rglob("*.json")]:
        data = path.read_bytes()
        changed = {
            # the last line of train_labels.txt and trn_X_Y.txt is empty: without its newline it would vanish
            "no final newline": data if data.endswith(b"\n\n") else data.removesuffix(b"\n"),
            "crlf": data.replace(b"\n", b"\r\n"),
            "mark": b"\xef\xbb\xbf" + data,
        }
        path.write_bytes(changed[change])
    assert rows(read(tmp_path)) == GOLDEN


@pytest.mark.parametrize("layout", layout_names())
def test_latin_1_is_an_error_with_its_line_or_read_with_the_option(tmp_path: Path, layout: str) -> None:
    MAKERS[layout](tmp_path)
    for path in [*tmp_path.rglob("*.txt"), *tmp_path.rglob("*.gz")]:
        if path.suffix == ".gz":
            path.unlink()
        else:
            path.write_bytes(path.read_text().encode("latin-1"))
    if layout == "xc_raw":
        for split, documents in (("trn", TRAIN), ("tst", TEST)):
            texts = [
                json.dumps({"title": t, "content": "", "target_ind": y}, ensure_ascii=False)
                for t, y in documents
            ]
            (tmp_path / f"{split}.json").write_bytes(lines(texts).decode().encode("latin-1"))
        (tmp_path / "Y.txt").write_bytes(lines(NAMES).decode().encode("latin-1"))
    with pytest.raises(XmcpipeError, match=r"line [25]: the bytes aren't utf-8 .*latin-1"):
        rows(read(tmp_path))
    assert rows(read(tmp_path, LayoutOptions(encoding="latin-1"))) == GOLDEN


def test_x_y_without_a_header_and_with_blank_lines_after_the_last(tmp_path: Path) -> None:
    x_y_text(tmp_path, header=False)
    assert rows(read(tmp_path)) == GOLDEN
    (tmp_path / "trn_X_Y.txt").write_bytes(x_y(TRAIN) + b"\n\n")
    assert rows(read(tmp_path)) == GOLDEN


def test_fields_of_the_raw_json(tmp_path: Path) -> None:
    xc_raw(tmp_path)
    documents: list[dict[str, str | None]] = [
        {"title": " T ", "content": "C"},
        {"title": "", "content": "C"},
        {"title": "T", "content": None},
    ]
    write(tmp_path / "trn.json.gz", lines([json.dumps({**d, "target_ind": [0]}) for d in documents]))
    for options, texts in (
        (LayoutOptions(), ["T C", "C", "T"]),
        (LayoutOptions(text_separator=" | "), ["T | C", "C", "T"]),
        (LayoutOptions(titles_only=True), ["T", "", "T"]),
        (LayoutOptions(text_fields=("content", "title")), ["C T", "C", "T"]),
    ):
        assert [text for text, _ in rows(read(tmp_path, options))["train"]] == texts
    with pytest.raises(XmcpipeError, match=r"expected a column 'abstract', got title, content, target_ind"):
        rows(read(tmp_path, LayoutOptions(text_fields=("abstract",))))


def test_raw_json_under_its_other_name(tmp_path: Path) -> None:
    xc_raw(tmp_path)
    for name in ("trn", "tst", "lbl"):
        (tmp_path / f"{name}.json.gz").rename(tmp_path / f"{name}.raw.json.gz")
    assert detect_layout(tmp_path) == "xc_raw"
    assert rows(read(tmp_path)) == GOLDEN


def test_filter_pairs_under_either_name_and_as_numpy_writes_them(tmp_path: Path) -> None:
    xc_raw(tmp_path / "a")
    assert {
        s: list(zip(*t.to_pydict().values(), strict=True)) for s, t in read(tmp_path / "a").filters.items()
    } == FILTERS
    x_y_text(tmp_path / "b")
    assert read(tmp_path / "b").filters["test"].to_pydict() == {"row": [1], "label": [4]}
    np.savetxt(tmp_path / "b" / "tst_filter_labels.txt", [[1, 4], [0, 3]])
    assert read(tmp_path / "b").filters["test"].to_pydict() == {"row": [1, 0], "label": [4, 3]}
    (tmp_path / "b" / "tst_filter_labels.txt").write_bytes(b"")
    assert read(tmp_path / "b").filters["test"].num_rows == 0
    for line in ("1", "1 2 3", "a b", "-1 2", "1 2.5", "1 5", "1 nan"):
        (tmp_path / "b" / "tst_filter_labels.txt").write_text(f"0 1\n\n{line}\n")
        with pytest.raises(XmcpipeError, match=r"tst_filter_labels\.txt, line 3: expected .* below 5, got"):
            read(tmp_path / "b")


def test_stored_zeros_are_no_labels(tmp_path: Path) -> None:
    x_y_text(tmp_path)
    edit(tmp_path / "tst_X_Y.txt", b"4:1", b"4:0")
    assert rows(read(tmp_path))["test"][1] == ("an early bird", ["apple"])


def test_numbers_written_as_strings_or_floats_are_labels(tmp_path: Path) -> None:
    xc_raw(tmp_path)
    write(tmp_path / "tst.json.gz", LABELLED % b'["3", 4.0, null]')
    assert rows(read(tmp_path))["test"] == [("a", ["apple", "ärger"])]
