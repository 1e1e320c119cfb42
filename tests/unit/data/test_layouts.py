"""Each public layout gives the same documents and labels; what is wrong with one is named."""

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
    save_npz,
    write,
    x_y,
    x_y_text,
    xc_raw,
)
from xmcpipe.data.layouts import LAYOUTS, LayoutOptions, Sources, detect_layout, read_layout
from xmcpipe.errors import XmcpipeError

LABELLED = b'{"title": "a", "content": "", "target_ind": %s}'
Rows = list[tuple[str, list[str]]]
GOLDEN = {
    split: [(text, [NAMES[label] for label in labels]) for text, labels in documents]
    for split, documents in (("train", TRAIN), ("test", TEST))
}


def read(folder: Path, options: LayoutOptions | None = None, layout: str = "") -> Sources:
    return read_layout(folder, layout or detect_layout(folder), options or LayoutOptions())


def rows(sources: Sources) -> dict[str, Rows]:
    """Text and label names of all documents."""
    found = {}
    for split, batches in sources.splits.items():
        frames = list(batches)
        for frame in frames:
            assert frame.schema == {"id": pl.String, "text": pl.String, "labels": pl.List(pl.Int32)}
            assert not frame.null_count().sum_horizontal()[0]
        table = sources.label_table
        found[split] = [
            (text, [str(label) if table is None else table["label"][label] for label in labels])
            for frame in frames
            for text, labels in frame.select("text", "labels").rows()
        ]
    return found


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_documents(tmp_path: Path, layout: str) -> None:
    MAKERS[layout](tmp_path)
    assert detect_layout(tmp_path) == layout
    sources = read(tmp_path)
    assert rows(sources) == GOLDEN
    assert sources.label_table is not None
    # by value and then by name where the layout has no order of its own
    order = ["2", "10", "apple", "zebra", "ärger"] if layout == "attentionxml" else NAMES
    assert sources.label_table["label"].to_list() == order
    texts = [f"about {name}" for name in order] if layout == "xc_raw" else order
    assert sources.label_table["text"].to_list() == texts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_are_distinct_and_the_repositorys_where_it_has_some(tmp_path: Path, layout: str) -> None:
    MAKERS[layout](tmp_path)
    ids = pl.concat(list(read(tmp_path).splits["train"]))["id"].to_list()
    assert ids == [f"trn{n}" if layout == "xc_raw" else str(n) for n in range(5)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", ["no final newline", "crlf", "mark"])
def test_line_ends_and_marks(tmp_path: Path, layout: str, change: str) -> None:
    if layout == "xc_raw":
        xc_raw(tmp_path, suffix="")
    else:
        MAKERS[layout](tmp_path)
    for path in [*tmp_path.rglob("*.txt"), *tmp_path.rglob("*.json")]:
        data = path.read_bytes()
        changed = {
            # the last line of train_labels.txt and trn_X_Y.txt is empty: without its newline it would be none
            "no final newline": data if data.endswith(b"\n\n") else data.removesuffix(b"\n"),
            "crlf": data.replace(b"\n", b"\r\n"),
            "mark": b"\xef\xbb\xbf" + data,
        }
        path.write_bytes(changed[change])
    assert rows(read(tmp_path)) == GOLDEN


@pytest.mark.parametrize("layout", LAYOUTS)
def test_latin_1_is_named_by_line_and_read_when_asked_for(tmp_path: Path, layout: str) -> None:
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


def test_without_names_labels_are_numbers(tmp_path: Path) -> None:
    for layout, name in (("pecos", "output-items.txt"), ("xc_raw", "lbl.json.gz"), ("x_y", "Yf.txt")):
        MAKERS[layout](tmp_path / layout)
        next((tmp_path / layout).rglob(name)).unlink()
        sources = read(tmp_path / layout)
        assert rows(sources)["test"][1] == ("an early bird", ["4", "3"])
        if layout != "xc_raw":
            assert sources.label_table is not None
            assert sources.label_table.rows() == [(str(n), None) for n in range(5)]


def test_label_names_that_repeat_become_texts_of_numbered_labels(tmp_path: Path) -> None:
    MAKERS["pecos"](tmp_path)
    next(tmp_path.rglob("output-items.txt")).write_bytes(lines(["a", "b", "a", "", "c"]))
    table = read(tmp_path).label_table
    assert table is not None
    assert table.rows() == [("0", "a"), ("1", "b"), ("2", "a"), ("3", None), ("4", "c")]


def test_blank_lines_after_the_last_name_are_no_labels(tmp_path: Path) -> None:
    for layout in ("pecos", "xc_raw"):
        MAKERS[layout](tmp_path / layout)
    (tmp_path / "xc_raw" / "lbl.json.gz").unlink()
    for path in (tmp_path / "xc_raw" / "Y.txt", next(tmp_path.rglob("output-items.txt"))):
        write(path, lines([*NAMES, " ", ""]))
        table = read(tmp_path / ("xc_raw" if path.name == "Y.txt" else "pecos")).label_table
        assert table is not None
        assert table["label"].to_list() == NAMES


def test_names_that_are_all_numbers_are_no_texts(tmp_path: Path) -> None:
    MAKERS["attentionxml"](tmp_path)
    for split in ("train", "test"):
        write(
            tmp_path / f"{split}_labels.txt",
            lines(["10 9", "100", "", "9", "2 10"][: 5 if split == "train" else 2]),
        )
    table = read(tmp_path).label_table
    assert table is not None
    assert table.rows() == [("2", None), ("9", None), ("10", None), ("100", None)]


def test_fields_of_the_raw_json(tmp_path: Path) -> None:
    xc_raw(tmp_path)
    documents = [
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
    with pytest.raises(XmcpipeError, match=r"no column 'abstract'; it has title, content, target_ind"):
        rows(read(tmp_path, LayoutOptions(text_fields=("abstract",))))


def test_uids_that_repeat_or_lack_get_their_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcpipe.data.tables.lines.BLOCK_CHARACTERS", 60)  # a document a block
    xc_raw(tmp_path)
    uids = ["a", "b", "a", None, "", "a"]
    row = {"title": "t", "content": "", "target_ind": [0]}
    write(tmp_path / "trn.json.gz", lines([json.dumps({"uid": uid, **row}) for uid in uids]))
    ids = pl.concat(list(read(tmp_path).splits["train"]))["id"].to_list()
    assert ids == ["a", "b", "a#2", "#3", "#4", "a#5"]


def test_lines_with_ids(tmp_path: Path) -> None:
    x_y_text(tmp_path)
    (tmp_path / "Yf.txt").unlink()
    for name, documents in (("train", TRAIN), ("test", TEST)):
        texts = [f"id{n}->{text}" for n, (text, _) in enumerate(documents)]
        write(tmp_path / "raw_data" / f"{name}.raw.txt", lines(texts))
    write(tmp_path / "raw_data" / "label.raw.txt", lines([f"{name}->about-> {name}" for name in NAMES]))
    sources = read(tmp_path)
    assert sources.label_table is not None
    assert sources.label_table.rows() == [(name, f"about-> {name}") for name in NAMES]
    assert pl.concat(list(sources.splits["train"]))["id"].to_list() == [f"id{n}" for n in range(5)]
    assert rows(read(tmp_path)) == GOLDEN
    # a line among plain ones is as it is; among lines with ids a plain one is a fault
    write(tmp_path / "raw_data" / "test.raw.txt", b"a->b\nplain\n")
    assert [text for text, _ in rows(read(tmp_path))["test"]] == ["a->b", "plain"]


def test_a_line_without_an_id_after_a_block_of_lines_with_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmcpipe.data.tables.lines.BLOCK_CHARACTERS", 3)
    x_y_text(tmp_path)
    write(tmp_path / "raw_data" / "test.raw.txt", b"a->b\nplain\n")
    with pytest.raises(XmcpipeError, match=r"test\.raw\.txt, line 2: 'plain' was given, id->text was wanted"):
        rows(read(tmp_path))


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
        with pytest.raises(XmcpipeError, match=r"tst_filter_labels\.txt, line 3: .* below 5 were wanted"):
            read(tmp_path / "b")


def test_stored_zeros_are_no_labels(tmp_path: Path) -> None:
    x_y_text(tmp_path)
    edit(tmp_path / "tst_X_Y.txt", b"4:1", b"4:0")
    assert rows(read(tmp_path))["test"][1] == ("an early bird", ["apple"])


@pytest.mark.parametrize(
    ("layout", "name", "data", "fault"),
    [
        ("pecos", "X.trn.txt", b"a\nb\n", r"X\.trn\.txt has 2 lines and .*Y\.trn\.npz 5 rows"),
        ("pecos", "X.trn.txt", b"", r"X\.trn\.txt has 0 lines"),
        ("pecos", "output-items.txt", b"a\nb\n", r"output-items\.txt has 2 labels, .* 5 columns"),
        ("pecos", "Y.trn.npz", b"PK\x03\x04 cut", r"Y\.trn\.npz can't be read as a CSR matrix"),
        ("attentionxml", "test_labels.txt", b"a\n", r"texts\.txt has 2 lines and .*test_labels\.txt 1 rows"),
        ("x_y", "trn_X_Y.txt", b"5 5\n0:1\n", r"trn_X_Y\.txt states 5 rows and has 1"),
        ("x_y", "tst_X_Y.txt", b"2 5\n0:1\n5:1\n", r"tst_X_Y\.txt states 5 labels and has the label 5"),
        ("x_y", "tst_X_Y.txt", b"2 5\n0:1\n1:1 2\n", r"tst_X_Y\.txt, line 3: '1:1 2' was given, pairs"),
        ("x_y", "tst_X_Y.txt", b"0:1\n1:x\n", r"tst_X_Y\.txt, line 2"),
        ("x_y", "tst_X_Y.txt", b"0:1\n5:1\n", r"tst_X_Y\.txt has the label 5, and there are 5 labels"),
        ("x_y", "tst_X_Y.txt", b"2 6\n0:1\n1:1\n", r"trn_X_Y\.txt has 5 labels and .*tst_X_Y\.txt 6"),
        ("xc_raw", "tst.json.gz", LABELLED % b"[1, 5]", r"row 1: target_ind \[1, 5\]"),
        ("xc_raw", "tst.json.gz", LABELLED % b"[-1]", r"row 1: target_ind \[-1\]"),
        ("xc_raw", "tst.json.gz", LABELLED % b'["x"]', r"line 1: 'target_ind' holds 'x'"),
        ("xc_raw", "tst.json.gz", LABELLED % b"[1.5]", r"'target_ind' holds '1\.5'"),
        ("xc_raw", "tst.json.gz", LABELLED % b"1", r"'target_ind' is a number, a list"),
        ("xc_raw", "tst.json.gz", b'{"title": "a", "content": ""}', r"no column 'target_ind'"),
        ("xc_raw", "lbl.json.gz", b'{"name": "a"}', r"lbl\.json\.gz has no uid or title or content"),
    ],
)
def test_faults_are_named(tmp_path: Path, layout: str, name: str, data: bytes, fault: str) -> None:
    MAKERS[layout](tmp_path)
    write(next(tmp_path.rglob(name)), data)
    with pytest.raises(XmcpipeError, match=fault):
        rows(read(tmp_path))


def test_numbers_written_as_strings_or_floats_are_labels(tmp_path: Path) -> None:
    xc_raw(tmp_path)
    write(tmp_path / "tst.json.gz", LABELLED % b'["3", 4.0, null]')
    assert rows(read(tmp_path))["test"] == [("a", ["apple", "ärger"])]


def test_matrices_of_other_widths_are_refused(tmp_path: Path) -> None:
    MAKERS["xtransformer"](tmp_path)
    save_npz(tmp_path / "Y.tst.npz", TEST, width=7)
    with pytest.raises(XmcpipeError, match=r"Y\.trn\.npz has 5 labels and .*Y\.tst\.npz 7"):
        read(tmp_path)


def test_folders_of_no_layout(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match="does not exist, a folder was wanted"):
        detect_layout(tmp_path / "absent")
    with pytest.raises(XmcpipeError, match="no dataset of a known layout"):
        detect_layout(tmp_path)
    for name in ("trn_X_Xf.txt", "eurlex_train.txt", "X.trn.npz"):
        write(tmp_path / name / name, b"")
        with pytest.raises(XmcpipeError, match=r"bags of words and no text .*PECOS mirrors"):
            detect_layout(tmp_path / name)
    MAKERS["pecos"](tmp_path / "pecos")
    next(tmp_path.rglob("Y.tst.npz")).unlink()
    with pytest.raises(XmcpipeError, match=r"is of layout pecos, but has no Y\.tst\.npz"):
        detect_layout(tmp_path / "pecos")
    with pytest.raises(XmcpipeError, match=r"has no Y\.tst\.npz, as layout pecos wants it"):
        read(tmp_path / "pecos", layout="pecos")
    with pytest.raises(XmcpipeError, match=r"layout 'peco' is unknown .did you mean 'pecos'"):
        read(tmp_path / "pecos", layout="peco")
    for name in ("one", "two"):
        MAKERS["xc_raw"](tmp_path / "several" / name)
    with pytest.raises(XmcpipeError, match="holds more than one dataset"):
        read(tmp_path / "several")


def test_titles_only_needs_fields(tmp_path: Path) -> None:
    MAKERS["pecos"](tmp_path)
    with pytest.raises(XmcpipeError, match="layout pecos has a whole text a line"):
        read(tmp_path, LayoutOptions(titles_only=True))
