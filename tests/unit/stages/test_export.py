"""Exports have the layouts of other systems, and importing them gives the same data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.versions import PREDICTIONS_VERSION, RAW_VERSION
from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.data.predictions import PredictionsWriter
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.beside.export import Format, export
from xmcpipe.stages.importing import IMPORT, ImportConfig

LABEL_ROWS = [("10", "ten"), ("2", None), ("a b", "a b"), ("Käse", "two\nlines"), ("9", "ten")]
DOCUMENTS: dict[str, list[tuple[str, list[int]]]] = {
    "train": [("a  fox", [0, 3]), ("", []), ("one\r\ntwo\u2028three", [4]), ('5:1 "quoted"\t', [1, 2])],
    "test": [("größer", [1]), ("", [])],
}
KEEP: dict[str, Any] = dict.fromkeys(("empty_text", "no_labels", "repeated", "leaked", "unseen"), "keep")


def make_raw(folder: Path, documents: dict[str, list[tuple[str, list[int]]]], labels: list[Any]) -> Path:
    folder.mkdir(parents=True)
    names, texts = zip(*labels, strict=True)
    pq.write_table(pa.table([names, texts], schema=LABELS), folder / "labels.parquet")
    for split, rows in documents.items():
        table = [{"id": f"{split}{n}", "text": text, "labels": ids} for n, (text, ids) in enumerate(rows)]
        pq.write_table(
            pa.Table.from_pylist(table, RAW_DOCUMENTS), folder / f"{split}.parquet", row_group_size=3
        )
    write_manifest(folder, "raw", RAW_VERSION)
    return folder


def write_manifest(folder: Path, kind: str, version: int) -> None:
    Manifest("made", kind, version, "0" * 64, {}, {}, {}, {}, {}).write(folder)


def import_again(folder: Path, out: Path) -> dict[str, pl.DataFrame]:
    out.mkdir()
    IMPORT.run(ImportConfig(folder=str(folder), min_label_count=0, **KEEP), {}, out, out)
    return {path.stem: pl.read_parquet(path) for path in out.glob("*.parquet")}


@pytest.mark.parametrize("format_", ["pecos", "xc"])
def test_exported_data_imports_to_the_same_data(tmp_path: Path, format_: Format) -> None:
    raw = make_raw(tmp_path / "raw", DOCUMENTS, LABEL_ROWS)
    FilterPairs.of(np.array([3, 0]), np.array([4, 1]), len(LABEL_ROWS)).write(raw, "train")
    export(raw, format_, tmp_path / "out")
    again = import_again(tmp_path / "out", tmp_path / "again")
    assert again.keys() == {"train", "test", "labels", "filter_train"}
    # a text is a line, stripped; a label's text comes from JSON and is only stripped
    assert again["labels"].rows() == LABEL_ROWS
    texts = {"train": ["a  fox", "", "one two three", '5:1 "quoted"'], "test": ["größer", ""]}
    for split, rows in DOCUMENTS.items():
        assert again[split]["text"].to_list() == texts[split]
        assert again[split]["labels"].to_list() == [labels for _, labels in rows]
    assert again["filter_train"].rows() == [(0, 1), (3, 4)]


def test_pecos_files(tmp_path: Path) -> None:
    raw = make_raw(tmp_path / "raw", DOCUMENTS, LABEL_ROWS)
    files = export(raw, "pecos", tmp_path / "out")
    names = {"X.trn.txt", "X.tst.txt", "Y.trn.npz", "Y.tst.npz", "output-items.txt", "lbl.json"}
    assert files.keys() == names == {path.name for path in (tmp_path / "out").iterdir()}
    matrix = sparse.load_npz(tmp_path / "out/Y.trn.npz")
    assert (matrix.format, matrix.dtype, matrix.shape) == ("csr", np.float32, (4, 5))
    assert matrix.toarray().tolist() == [[1, 0, 0, 1, 0], [0] * 5, [0, 0, 0, 0, 1], [0, 1, 1, 0, 0]]
    assert (tmp_path / "out/output-items.txt").read_text().split("\n") == [
        "ten", "2", "a b", "two lines", "ten", ""
    ]  # fmt: skip
    items = [json.loads(line) for line in (tmp_path / "out/lbl.json").read_text().splitlines()]
    assert items[1] == {"uid": "2", "title": ""}


def test_xc_files(tmp_path: Path) -> None:
    raw = make_raw(tmp_path / "raw", DOCUMENTS, LABEL_ROWS)
    FilterPairs.of(np.array([1]), np.array([4]), len(LABEL_ROWS)).write(raw, "test")
    files = export(raw, "xc", tmp_path / "out")
    assert files.keys() == {
        "raw/trn_X.txt", "raw/tst_X.txt", "raw/Y.txt", "trn_X_Y.txt", "tst_X_Y.txt", "lbl.json",
        "filter_labels_test.txt",
    }  # fmt: skip
    assert (tmp_path / "out/trn_X_Y.txt").read_text() == "4 5\n0:1 3:1\n\n4:1\n1:1 2:1\n"
    assert (tmp_path / "out/tst_X_Y.txt").read_text() == "2 5\n1:1\n\n"
    assert (tmp_path / "out/raw/tst_X.txt").read_text() == "größer\n\n"
    assert (tmp_path / "out/filter_labels_test.txt").read_text() == "1 4\n"


def make_predictions(folder: Path) -> Path:
    folder.mkdir()
    pq.write_table(
        pa.table({"label": ["a", "b", "c"], "text": ["A", None, "C"]}, schema=LABELS),
        folder / "labels.parquet",
    )
    with PredictionsWriter(folder / "predictions.parquet") as table:
        labels, scores = np.array([[2, 0], [1, -1]]), np.array([[0.5, -1.25], [1e-7, 0]], np.float32)
        table.write(pa.array(["x", "y"]), labels, scores)
    write_manifest(folder, "predictions", PREDICTIONS_VERSION)
    return folder


def test_predictions(tmp_path: Path) -> None:
    folder = make_predictions(tmp_path / "predictions")
    export(folder, "xc", tmp_path / "xc")
    first, *rows = (tmp_path / "xc/tst_predictions.txt").read_text().splitlines()
    assert first == "2 3"
    parsed = [
        [(int(label), float(score)) for label, score in (pair.split(":") for pair in row.split())]
        for row in rows
    ]
    assert parsed == [[(2, 0.5), (0, -1.25)], [(1, pytest.approx(1e-7))]]
    export(folder, "pecos", tmp_path / "pecos")
    matrix = sparse.load_npz(tmp_path / "pecos/P.tst.npz")
    assert matrix.toarray().tolist() == [[-1.25, 0, 0.5], [0, pytest.approx(1e-7), 0]]
    assert (tmp_path / "pecos/output-items.txt").read_text() == "A\nb\nC\n"


def test_existing_files_stay_and_no_partial_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = make_raw(tmp_path / "raw", DOCUMENTS, LABEL_ROWS)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    with pytest.raises(XmcpipeError, match=r"expected a new or empty folder, got .*full"):
        export(raw, "xc", tmp_path / "full")
    (tmp_path / "empty").mkdir()
    (raw / "test.parquet").write_bytes(b"broken")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(XmcpipeError, match=r"raw can't be read: .*run its stage again"):
        export(raw, "xc", tmp_path / "empty")
    assert sorted(tmp_path.iterdir()) == before
    assert list((tmp_path / "empty").iterdir()) == []
    with pytest.raises(XmcpipeError, match="is not an artifact"):
        export(tmp_path / "empty", "xc", tmp_path / "out")
    write_manifest(raw, "shards", 1)
    with pytest.raises(XmcpipeError, match="got one of shards"):
        export(raw, "xc", tmp_path / "out")
    write_manifest(raw, "raw", RAW_VERSION + 1)
    with pytest.raises(XmcpipeError, match="schema version"):
        export(raw, "xc", tmp_path / "out")


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=9)
rows_of = st.lists(st.tuples(texts, st.sets(st.integers(0, 4)).map(sorted)), max_size=5)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of, rows_of, st.sampled_from(["pecos", "xc"]))
def test_any_documents_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    train: list[tuple[str, list[int]]],
    test: list[tuple[str, list[int]]],
    format_: Format,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    documents = {"train": [*train, ("last", [0])], "test": [*test, ("last", [0])]}
    export(make_raw(folder / "raw", documents, LABEL_ROWS), format_, folder / "out")
    again = import_again(folder / "out", folder / "again")
    for split, rows in documents.items():
        assert again[split]["labels"].to_list() == [labels for _, labels in rows]
        for found, (text, _) in zip(again[split]["text"].to_list(), rows, strict=True):
            assert found.split() == text.split()
