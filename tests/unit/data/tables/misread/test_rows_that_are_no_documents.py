"""Headers among documents, cells for a missing value, label tables with more than labels."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.data.tables.contents import TRUTH, Import, csv_text, jsonl, parquet, sorted_

TABLE = csv_text({row: ";".join(labels) for row, labels in TRUTH.items()})
LINES = "".join(f"{' '.join(labels)}\tnote {row} about\n" for row, labels in TRUTH.items())


@pytest.mark.parametrize("header", ["labels\ttext\n", "label\ttitle\n", "Tags\tText\n"])
def test_lines_of_labels_and_texts_have_no_header(read: Import, header: str) -> None:
    error = read("x.txt", header + LINES, format="libmultilabel").error
    assert "expected a document in the first line, got a header" in error
    assert error.endswith("(remove this line)")
    assert read("x.txt", LINES, format="libmultilabel").labels == sorted_(TRUTH)


def test_a_header_that_is_read_as_data(read: Import) -> None:
    table = {"label_separator": ";", "header": False, "text": ["1"], "labels": "2"}
    error = read("x.csv", TABLE, **table).error
    assert "got a header: 'text', 'labels' (read it as the header, without --no-header)" in error
    assert not read("x.csv", TABLE.split("\n", 1)[1], **table).error


def test_tables_that_were_joined_with_their_headers(read: Import) -> None:
    error = read("x.csv", TABLE + TABLE, label_separator=";").error
    assert "row 13: expected a document, got the header again: 'text', 'labels' (remove this row)" in error


@pytest.mark.parametrize("word", ["nan", "None", "<NA>", "#N/A", "#REF!"])
def test_words_for_a_missing_value_are_warned_about(read: Import, tmp_path: Path, word: str) -> None:
    def warned(content: str, what: str, **table: str) -> bool:
        lines = read("x.csv", content, label_separator=";", **table).warnings
        return any(f"{what} in the form of a missing value: {word!r}" in line for line in lines)

    assert warned(TABLE + f"one more,{word}\n", "1 label")
    assert warned(TABLE + f"{word},alpha\n", "2 texts")  # the table is both splits
    assert not warned(TABLE, "")
    listed = tmp_path / "labels.csv"
    listed.write_text(f"label,text\nalpha,{word}\nbeta,the second\n")
    assert warned(TABLE, "1 label text", label_table=str(listed))


def test_a_label_table_with_two_texts_for_a_label(read: Import, tmp_path: Path) -> None:
    listed = tmp_path / "labels.csv"
    listed.write_text("label,text\nalpha,one\nbeta,two\nalpha,other\nbeta,two\n")
    got = read("x.csv", TABLE, label_separator=";", label_table=str(listed))
    assert got.vocabulary["alpha"] == "one"
    assert any("1 of them have several" in line and "'one' and 'other'" in line for line in got.warnings)


def test_a_label_table_of_lines(read: Import, tmp_path: Path) -> None:
    listed = tmp_path / "labels.txt"
    listed.write_text("alpha\tthe first\nbeta\tthe second\n")
    error = read("x.csv", TABLE, label_separator=";", label_table=str(listed)).error
    assert "expected a label on each line, got tabs between columns" in error
    for word in ("label", "Name", "subjects", "class"):
        listed.write_text(f"{word}\nalpha\nbeta\ngamma\ndelta\neps\n")
        got = read("x.csv", TABLE, label_separator=";", label_table=str(listed))
        assert any(f"the first line, {word!r}, is read as a label" in line for line in got.warnings)


def test_a_label_table_that_differs_in_case(read: Import, tmp_path: Path) -> None:
    listed = tmp_path / "labels.csv"
    listed.write_text("label,text\nALPHA,one\nBETA,two\n")
    error = read("x.csv", TABLE, label_separator=";", label_table=str(listed)).error
    assert error.endswith("(write them alike: they differ in case)")


def test_labels_in_numbered_columns_are_not_one_column(read: Import) -> None:
    error = read("x.csv", "text,label1,label2\none,a,b\ntwo,b,\n", label_separator=";").error
    assert error.endswith("(write label1, label2 as one column 'labels')")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"title": "note %d"}', 'objects, such as \'{"title": "note 0"}\': write their text alone'),
        ("['note', 'number', '%d']", "lists, such as"),
        ("b'note %d'", "bytes as Python prints them, such as \"b'note 0'\": decode them"),
        ("<p>note %d</p>", "HTML, such as '<p>note 0</p>': take the text out of it"),
        ("notes/%d.txt", "names of files, such as 'notes/0.txt'"),
        ("101 2023 %d 102", "numbers, such as '101 2023 0 102': name the column of texts"),
    ],
)
def test_texts_that_are_the_print_of_something_else(read: Import, text: str, what: str) -> None:
    rows = "".join(
        json.dumps({"text": text % row, "labels": ["a", "b"][: row % 2 + 1]}) + "\n" for row in range(6)
    )
    assert any(f"texts look like {what}" in line for line in read("x.jsonl", rows).warnings)


def test_quotes_of_texts(read: Import) -> None:
    quoted = "text\tlabels\n" + "".join(f'"note {row}"\ta\n' for row in range(4))
    part = (
        "texts look like texts in double quotes, such as '\"note 0\"': remove them (in CSV and TSV: --quotes"
    )
    assert any(part in line for line in read("x.tsv", quoted, label_separator=";").warnings)
    escaped = "text,labels\n" + "".join(f'"note \\"{row}\\" end",a\n' for row in range(4))
    assert any(
        "quotes have a backslash before them, 8 times" in line
        for line in read("x.csv", escaped, label_separator=";").warnings
    )


def test_splits_in_one_json_file_name_the_way_out(read: Import) -> None:
    rows = [{"text": "note", "labels": ["a"]}]
    error = read("x.json", json.dumps({"train": rows, "test": rows})).error
    assert error.endswith("(write only the list in 'train', or each of its objects on a line)")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "\x93quoted\x94 %d",
            "6 texts or labels hold control characters, as of cp1252 that was read as",
        ),
        (
            "lost \ufffd letter %d",
            "6 texts or labels hold U+FFFD, which stands for a character",
        ),
    ],
)
def test_characters_that_no_text_has(read: Import, text: str, part: str) -> None:
    rows = "".join(
        json.dumps({"text": text % row, "labels": ["a", "b"][: row % 2 + 1]}) + "\n" for row in range(6)
    )
    assert any(part in line for line in read("x.jsonl", rows).warnings)


def test_the_encoding_of_windows_is_named_first(read: Import) -> None:
    quoted = "text,labels\n\u201cIt\u2019s here\u201d,a;b\n".encode("cp1252")
    assert "for example cp1252 (Windows) or latin-1" in read("x.csv", quoted, label_separator=";").error


def test_lists_beside_a_separator_are_read(read: Import) -> None:
    lines = [" ".join(f"__label__{each}" for each in row) + " note\n" for row in TRUTH.values()]
    for name, content in (
        ("x.jsonl", jsonl(TRUTH)),
        ("x.parquet", parquet(TRUTH, pa.list_(pa.string()))),
        ("x.txt", "".join(lines)),
    ):
        got = read(name, content, label_separator=";")
        assert (got.error, got.labels) == ("", sorted_(TRUTH))
        assert got.warnings == [] or name == "x.txt"  # whose texts are the same


def test_lines_of_labels_in_a_tsv_name_the_format(read: Import) -> None:
    error = read("x.tsv", LINES).error
    assert "--format libmultilabel for lines of labels and text" in error
    assert read("x.tsv", LINES, format="libmultilabel").labels == sorted_(TRUTH)


@pytest.mark.parametrize("row", ["Total,12", "Grand Total,", "(12 rows),", "Summe,12", "12 rows affected,"])
def test_a_row_that_sums_up_the_table(read: Import, row: str) -> None:
    name = row.split(",")[0]
    warned = [
        line for line in read("x.csv", TABLE + row + "\n", label_separator=";").warnings if name in line
    ]
    assert any(f"the last row, {name!r}" in line for line in warned)
    ids = "".join(f"{at or 'id'},{line}\n" for at, line in enumerate(TABLE.splitlines()))
    got = read("x.csv", ids + f"{name},,\n", label_separator=";")
    assert any(f"the last row, {name!r}, is read" in line for line in got.warnings)


def test_last_rows_that_are_documents(read: Import) -> None:
    def warned(content: str) -> bool:
        return any("last row" in line for line in read("x.csv", content, label_separator=";").warnings)

    assert not warned(TABLE + "total,alpha\n")
    assert not warned(TABLE + "total eclipse,12\n")
    numbers = csv_text({row: str(len(labels)) for row, labels in TRUTH.items()})
    assert not warned(numbers + "Total,2\n")
    assert not warned(TABLE.replace("note 3 about", "Total"))


def test_a_comment_in_a_label_table_of_lines(read: Import, tmp_path: Path) -> None:
    """Labels that are row numbers of this table would be one off."""
    listed = tmp_path / "labels.txt"
    names = "alpha\nbeta\ngamma\ndelta\neps\n"
    for first, said in (("# of this year", True), ("// of this year", True), ("#art", False), ("C#", False)):
        listed.write_text(f"{first}\n{names}")
        got = read("x.csv", TABLE, label_separator=";", label_table=str(listed))
        assert any(f"the first line, {first!r}, is read as a label" in line for line in got.warnings) is said
    listed.write_text("# one\n# two\n" + names)
    assert not any("comment" in line for line in read("x.csv", TABLE, label_table=str(listed)).warnings)


def test_zeros_before_numbers_of_a_label_table(read: Import, tmp_path: Path) -> None:
    listed = tmp_path / "labels.csv"
    listed.write_text("label,text\n" + "".join(f"{number:03},name {number}\n" for number in range(1, 6)))
    table = csv_text({row: str(int(row) % 5 + 1) for row in TRUTH})
    error = read("x.csv", table, label_separator=";", label_table=str(listed)).error
    assert error.endswith("(write them alike: they differ in zeros before numbers)")


def test_an_object_of_documents_by_id_names_the_way_out(read: Import) -> None:
    rows = {f"d{row}": {"text": f"note {row}", "labels": labels} for row, labels in TRUTH.items()}
    error = read("x.json", json.dumps(rows)).error
    assert error.endswith("(write each of its objects on a line, with its key as 'id')")
