"""IMPORT from the recipe's table to the artifact's files."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.layout_folders import NAMES, write, x_y_text, xc_raw
from xmcpipe.config import from_table, to_table
from xmcpipe.data.tables.keys import READER_VERSION
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages import importing
from xmcpipe.stages.importing import IMPORT, ImportConfig, source
from xmcpipe.stages.stage import Result


def config(**table: Any) -> ImportConfig:
    return from_table(ImportConfig, table, "import")


def run(out: Path, **table: Any) -> Result:
    out.mkdir()
    scratch = out.with_suffix(".scratch")
    scratch.mkdir()
    result = IMPORT.run(config(**table), {}, out, scratch)
    assert sorted(path.name for path in out.iterdir()) == ["labels.parquet", "test.parquet", "train.parquet"]
    assert list(scratch.iterdir()) == []
    return result


@pytest.fixture
def train(tmp_path: Path) -> str:
    rows = [
        {
            "title": f"title {number}",
            "body": f"body {number}",
            "tags": f"{number % 3}; all",
            "key": f"k{number}",
        }
        for number in range(60)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return str(tmp_path / "train.jsonl")


COLUMNS = {"text": ["title", "body"], "labels": "tags", "label_separator": ";", "id": "key"}


def test_one_table_is_split(tmp_path: Path, train: str) -> None:
    (tmp_path / "labels.tsv").write_text("all\teverything\n2\ttwo\n")
    table = {"train": train, "label_table": str(tmp_path / "labels.tsv"), "label_header": False, **COLUMNS}
    result = run(tmp_path / "out", **table, test_every=5)
    assert result.rows["train.parquet"] + result.rows["test.parquet"] == 60
    assert result.figures["train"] == result.rows["train.parquet"] > result.rows["test.parquet"] > 0
    assert pl.read_parquet(tmp_path / "out/labels.parquet").rows() == [
        ("all", "everything"),
        ("2", "two"),
        ("0", None),
        ("1", None),
    ]
    documents = pl.concat([pl.read_parquet(tmp_path / f"out/{split}.parquet") for split in ("train", "test")])
    row = documents.row(by_predicate=pl.col("id") == "k5", named=True)
    assert row == {"id": "k5", "text": "title 5 body 5", "labels": [0, 1]}


def test_a_stratified_split_has_every_label_in_training(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "labels": [f"l{number // 2}", "all"]} for number in range(60)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = {"train": str(tmp_path / "x.jsonl"), "test_every": 5, "split": "stratified"}
    result = run(tmp_path / "out", **table)
    assert (result.figures["train"], result.figures["test"], result.figures["unseen_labels"]) == (48, 12, 0)
    run(tmp_path / "again", **table)
    run(tmp_path / "other", **table, split_seed=1)
    tests = [pl.read_parquet(tmp_path / name / "test.parquet") for name in ("out", "again", "other")]
    assert tests[0].equals(tests[1])
    assert not tests[0].equals(tests[2])


def test_a_european_csv_is_read_with_its_delimiter(tmp_path: Path) -> None:
    text = "text;labels\n" + "".join(f"text {number}, more;a|b\n" for number in range(20))
    (tmp_path / "x.csv").write_text(text)
    table = {"train": str(tmp_path / "x.csv"), "label_separator": "|", "test_every": 2}
    assert run(tmp_path / "by default", **table).figures["labels"] == 2
    assert run(tmp_path / "out", **table, delimiter=";").figures["labels"] == 2


def test_two_tables_of_different_formats(tmp_path: Path, train: str) -> None:
    (tmp_path / "test.csv").write_text('key,title,body,tags\n1,"a, b",c,1;9\n2,title 3,body  3,all\n')
    result = run(tmp_path / "out", train=train, test=str(tmp_path / "test.csv"), **COLUMNS)
    assert (result.figures["test"], result.figures["train"]) == (2, 59)
    assert (result.figures["leaked_texts"], result.figures["unseen_labels"]) == (1, 1)
    assert pl.read_parquet(tmp_path / "out/test.parquet")["text"].to_list() == ["a, b c", "title 3 body  3"]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, train: str) -> None:
    for name in ("one", "two"):
        run(tmp_path / name, train=train, **COLUMNS)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_source_is_of_bytes_and_roles_not_of_names(tmp_path: Path, train: str) -> None:
    other = tmp_path / "moved.jsonl"
    other.write_bytes(Path(train).read_bytes())
    assert source(config(train=train)) == source(config(train=str(other)))
    assert source(config(train=train)) != source(config(train=train, test=str(other)))
    assert source(config(train=train, test=str(other))) != source(config(train=train, label_table=str(other)))
    other.write_text("{}")
    assert source(config(train=train)) != source(config(train=str(other)))
    assert to_table(config(train=train), keys="identity") == to_table(
        config(train="elsewhere"), keys="identity"
    )


def test_the_source_has_what_else_decides_how_a_table_is_read(
    tmp_path: Path, train: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x_y_text(tmp_path / "a")
    lines, table = tmp_path / "labels.txt", tmp_path / "labels.csv"
    for path in (lines, table):
        path.write_text("label,text\n1,one\n")
    tables = [config(train=train), *(config(train=train, label_table=str(path)) for path in (lines, table))]
    before, folder = [source(each) for each in tables], source(config(folder=str(tmp_path / "a")))
    assert len(set(before)) == 3
    monkeypatch.setattr(importing, "READER_VERSION", READER_VERSION + 1)
    assert not set(before) & {source(each) for each in tables}
    assert source(config(folder=str(tmp_path / "a"))) == folder  # layouts are read by other code


def test_result_names_the_source(tmp_path: Path, train: str) -> None:
    assert run(tmp_path / "out", train=train, **COLUMNS).source == source(config(train=train, **COLUMNS))


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({}, "either train .* or folder .*, got neither"),
        ({"train": "x", "folder": "y"}, "either train .* or folder .*, got both"),
        ({"folder": "y", "layout": "pecoss"}, "unknown layout 'pecoss' .did you mean 'pecos'"),
        ({"train": "x", "repeat": "drop"}, "no key 'repeat' .did you mean 'repeated'"),
        ({"train": "x", "repeated": "delete"}, "expected one of 'keep', 'drop', 'refuse', got 'delete'"),
        ({"train": "x", "text": []}, "expected one or more columns in text"),
        ({"train": "x", "label_separator": ""}, "the text between labels in label_separator"),
        ({"train": "x", "test_every": 1}, "expected test_every >= 2, got test_every = 1"),
        (
            {"train": "x", "test": "y", "split": "stratified"},
            "expected one table, which split = 'stratified'",
        ),
        ({"train": "x", "label_columns": ["a", "a"]}, "expected distinct columns in label_columns"),
        ({"train": "x", "label_columns": ["a"], "multi_hot": True}, "label_columns or multi_hot, got both"),
        ({"train": "x", "delimiter": ";;"}, "expected one ASCII character in delimiter, got ';;'"),
        ({"train": "x", "min_label_count": -1}, "expected min_label_count >= 0"),
    ],
)
def test_a_faulty_table(table: dict[str, Any], fault: str) -> None:
    with pytest.raises(XmcpipeError, match=fault):
        config(**table)


def test_a_missing_file_is_named_by_its_key(tmp_path: Path, train: str) -> None:
    missing = str(tmp_path / "none.tsv")
    with pytest.raises(XmcpipeError, match=r"import\.label_table: .*none\.tsv does not exist"):
        source(config(train=train, label_table=missing))
    with pytest.raises(XmcpipeError, match=r"import\.test: .*none\.tsv does not exist"):
        run(tmp_path / "out", train=train, test=missing)


def test_a_folder_keeps_the_repositorys_order_and_its_filter_pairs(tmp_path: Path) -> None:
    xc_raw(tmp_path / "given")
    (tmp_path / "out").mkdir()
    table = config(folder=str(tmp_path / "given"), empty_text="drop", no_labels="keep", min_label_count=0)
    result = IMPORT.run(table, {}, tmp_path / "out", tmp_path)
    assert pl.read_parquet(tmp_path / "out/labels.parquet").rows() == [(n, f"about {n}") for n in NAMES]
    train, test = (pl.read_parquet(tmp_path / f"out/{split}.parquet") for split in ("train", "test"))
    assert train["id"].to_list() == ["trn0", "trn1", "trn3", "trn4"]  # trn2 has no text
    assert train["labels"].to_list() == [[0, 1], [2], [1, 3], []]
    assert test["labels"].to_list() == [[0], [3, 4]]
    assert pl.read_parquet(tmp_path / "out/filter_train.parquet").rows() == [(0, 2), (2, 1)]
    assert pl.read_parquet(tmp_path / "out/filter_test.parquet").rows() == [(1, 4)]
    assert result.rows["filter_train.parquet"] == result.figures["filter_pairs_train"] == 2
    assert result.source == source(table)
    (tmp_path / "given/filter_labels_test.txt").write_text("2 0\n")
    with pytest.raises(XmcpipeError, match="filter pairs of test: expected rows below 2, got 2"):
        IMPORT.run(table, {}, tmp_path / "out", tmp_path)


def test_filter_pairs_follow_documents_and_labels_that_are_dropped(tmp_path: Path) -> None:
    xc_raw(tmp_path / "given")
    write(tmp_path / "given/filter_labels_train.txt", b"2 0\n3 1\n3 3\n3 1\n")
    write(tmp_path / "given/filter_labels_test.txt", b"1 4\n0 0\n")
    (tmp_path / "out").mkdir()
    # label 0 keeps one training document, and so has id 0; labels 1, 2, 3 follow; 4 is unseen in training
    table = config(folder=str(tmp_path / "given"), unseen="drop")
    IMPORT.run(table, {}, tmp_path / "out", tmp_path)
    assert pl.read_parquet(tmp_path / "out/labels.parquet")["label"].to_list() == NAMES[:4]
    assert pl.read_parquet(tmp_path / "out/filter_train.parquet").rows() == [(2, 1), (2, 3)]
    assert pl.read_parquet(tmp_path / "out/filter_test.parquet").rows() == [(0, 0)]


def test_the_source_of_a_folder_is_of_its_layouts_files_only(tmp_path: Path) -> None:
    x_y_text(tmp_path / "a")
    before = source(config(folder=str(tmp_path / "a")))
    write(tmp_path / "a" / "README.md", b"not read")
    assert source(config(folder=str(tmp_path / "a"), layout="x_y")) == before
    write(tmp_path / "a" / "tst_filter_labels.txt", b"0 4")
    assert source(config(folder=str(tmp_path / "a"))) != before


def test_no_labels_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a", "labels": []}\n{"text": "b", "labels": null}\n')
    with pytest.raises(XmcpipeError, match="none of the 2 documents has a label"):
        run(tmp_path / "out", train=str(tmp_path / "x.jsonl"))
    (tmp_path / "x.csv").write_text("text,labels\n")
    with pytest.raises(XmcpipeError, match="expected at least one document, got none"):
        run(tmp_path / "other", train=str(tmp_path / "x.csv"), label_separator=" ")
