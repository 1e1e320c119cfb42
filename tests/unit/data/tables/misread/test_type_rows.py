"""A row of types below the header is no document, and a document about types is no row of types."""

from pathlib import Path

import pytest

from tests.unit.data.tables.contents import TRUTH, Import
from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.errors import XmcpipeError

HEADER = ["id", "text", "labels"]
DATA = [[row, f"note {row} about", ";".join(labels)] for row, labels in TRUTH.items()]
TYPES = {
    "pandas": ["int64", "object", "list"],
    "BigQuery": ["INTEGER", "STRING", "ARRAY<STRING>"],
    "SQL": ["bigint not null", "character varying(255)", "text[]"],
    "KNIME": ["Number (integer)", "String", "String"],
    "Stata": ["byte", "strL", "str20"],
    "ARFF": ["numeric", "string", "{a,b}"],
    "R": ["<int>", "<chr>", "<fct>"],
    "polars": ["i64", "str", "list[str]"],
    "Arrow": ["int64", "large_string", "list<item: string>"],
    "sqlcmd": ["--", "----------", "------"],
}


def table(*rows: list[str], delimiter: str = ",", quoted: bool = False) -> str:
    form = '"{}"' if quoted else "{}"
    return "".join(delimiter.join(form.format(cell) for cell in row) + "\n" for row in rows)


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "ARFF"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_a_row_of_types_is_refused(read: Import, kind: str, name: str) -> None:
    csv = name == "x.csv"
    content = table(HEADER, TYPES[kind], *DATA, delimiter="," if csv else "\t", quoted=csv)
    error = read(name, content, label_separator=";").error
    first = TYPES[kind][0]
    assert f"{name}, line 2: expected a row of the table, got the types of its columns: {first!r}, " in error
    assert error.endswith("(remove line 2)")
    lines = content.splitlines(keepends=True)
    got = read(name, "".join([lines[0], *lines[2:]]), label_separator=";")
    assert (got.error, len(got.labels)) == ("", len(DATA))


def test_the_line_is_that_of_the_file(read: Import) -> None:
    types = ["string", "string", "string"]
    noted = "sep=,\n" + table(["id", "te\nxt", "labels"], types, *DATA, quoted=True)
    error = read("x.csv", noted, label_separator=";", text=["te\nxt"]).error
    assert "x.csv, line 4: " in error
    assert error.endswith("(remove line 4)")
    columns = {"header": False, "id": "1", "text": ["2"], "labels": "3", "label_separator": ";"}
    assert read("x.csv", table(types, *DATA), **columns).error.endswith("(remove line 1)")


@pytest.mark.parametrize(
    "roles", [["meta", "meta", "class"], ["", "", "class"], ["NULLABLE", "NULLABLE", "REPEATED"]]
)
def test_roles_of_columns_below_the_types(read: Import, roles: list[str]) -> None:
    content = table(HEADER, ["continuous", "string", "discrete"], roles, *DATA, delimiter="\t")
    assert read("x.tsv", content, label_separator=";").error.endswith("(remove lines 2 and 3)")


@pytest.mark.parametrize(
    "rows",
    [
        [["98", "string", "string"], *DATA],
        [["string", "a string of characters", "string"], *DATA],
        [["string", "string", "string"]],
        [["string", "string", "string"], ["integer", "integer", "integer"], ["1", "a note", "art"]],
        [["string", "string", "string"], *DATA, ["99", "one more", "string"]],
        [["int64", "", "string"], *DATA],
    ],
)
def test_documents_about_types_are_documents(read: Import, rows: list[list[str]]) -> None:
    got = read("x.csv", table(HEADER, *rows), label_separator=";")
    assert (got.error, len(got.labels)) == ("", len(rows))


def test_words_of_a_language_are_no_types_of_two_columns(read: Import) -> None:
    words = [["date", "time"], ["apple", "fruit"], ["oak", "tree"]]
    got = read("x.csv", table(["text", "labels"], *words), label_separator=";")
    assert (got.error, got.labels["0"]) == ("", ["time"])
    refused = read("x.csv", table(["text", "labels"], ["string", "list"], *words), label_separator=";")
    assert "line 2: expected a row of the table" in refused.error


def test_a_label_table_and_label_lists_have_no_row_of_types(read: Import, tmp_path: Path) -> None:
    listed = tmp_path / "labels.csv"
    listed.write_text(table(["label", "text"], ["VARCHAR", "VARCHAR"], ["alpha", "the first"]))
    content = table(HEADER, *DATA)
    assert (
        "labels.csv, line 2: " in read("x.csv", content, label_separator=";", label_table=str(listed)).error
    )
    (tmp_path / "truth.csv").write_text(table(HEADER, TYPES["BigQuery"], *DATA))
    with pytest.raises(XmcpipeError, match=r"truth.csv, line 2: .* \(remove line 2\)"):
        read_label_lists(tmp_path / "truth.csv", "truth")
