"""`label_separator = "none"`: each row has one label, whatever it contains."""

import json

import pyarrow as pa
import pytest

from tests.unit.data.tables.contents import CLASSES, NAMES, Import, csv_text, jsonl, parquet
from xmcpipe.config import from_table
from xmcpipe.stages.importing import ImportConfig

ROWS = [
    *("Smith, John", "Doe; Jane", "Miller | Sons", "art and law", "a\tb", "two  words", "&", "AT&amp;T"),
    *("(unknown)", "[sic], he said", "it's", 'the "best"'),
]
NAMED = {str(row): name for row, name in enumerate(ROWS)}
WANTED = {row: [name] for row, name in NAMED.items()}


@pytest.mark.parametrize("spelling", ["none", "None"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "list", "parquet", "parquet list"])
def test_a_row_is_one_label_whatever_it_contains(read: Import, kind: str, spelling: str) -> None:
    contents = {
        "csv": ("x.csv", csv_text(NAMED)),
        "jsonl": ("x.jsonl", jsonl(NAMED)),
        "list": ("x.jsonl", jsonl(WANTED)),
        "parquet": ("x.parquet", parquet(NAMED, pa.string())),
        "parquet list": ("x.parquet", parquet(WANTED, pa.list_(pa.string()))),
    }
    got = read(*contents[kind], label_separator=spelling)
    assert (got.error, got.labels) == ("", WANTED)
    assert not [line for line in got.warnings if "separator" in line]


def test_numbers_and_empty_cells(read: Import) -> None:
    got = read("x.parquet", parquet({"0": 3, "1": None, "2": 4}, pa.int64()), label_separator="none")
    assert got.labels == {"0": ["3"], "1": [], "2": ["4"]}
    floats = read("x.csv", csv_text({"0": "10.0", "1": "", "2": "11.0"}), label_separator="none")
    assert floats.labels == {"0": ["10"], "1": [], "2": ["11"]}


def test_lists_of_one_that_were_saved_as_text(read: Import) -> None:
    cells = {"0": "['art']", "1": '["law, old"]', "2": "[]", "3": "('food',)", "4": "plain"}
    got = read("x.csv", csv_text(cells), label_separator="none")
    assert got.labels == {"0": ["art"], "1": ["law, old"], "2": [], "3": ["food"], "4": ["plain"]}


@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet", "classes"])
def test_a_list_of_several_is_refused(read: Import, kind: str) -> None:
    lists = {"0": ["alpha"], "1": ["alpha", "beta"]}
    numbers = {row: [NAMES.index(name) for name in names] for row, names in lists.items()}
    contents = {
        "text": ("x.csv", csv_text({row: json.dumps(names) for row, names in lists.items()})),
        "jsonl": ("x.jsonl", jsonl(lists)),
        "parquet": ("x.parquet", parquet(lists, pa.list_(pa.string()))),
        "classes": ("x.parquet", parquet(numbers, pa.list_(pa.int64()), [CLASSES])),
    }
    error = read(*contents[kind], label_separator="none").error
    assert (
        "row 2: expected one label in 'labels', as the label separator 'none' says, got a list of 2" in error
    )
    assert (
        ": 'alpha', 'beta' (omit --label-separator (label_separator) if all rows hold lists, or set it to"
        in error
    )


def test_the_hints_about_separators_name_the_way_out(read: Import) -> None:
    names = {str(row): name for row, name in enumerate(["Smith, John", "Doe, Jane", "Doe, John"] * 2)}
    refused = read("x.csv", csv_text(names)).error
    assert refused.endswith("here perhaps ',', or to none if each row has one label)")
    assert "or to none if each row has one label" in read("x.jsonl", jsonl(names)).error
    for separator in (";", "|"):
        warned = read("x.csv", csv_text(names), label_separator=separator).warnings[0]
        assert "each is one label, such as 'Doe, Jane' (--label-separator none says so)" in warned
    joined = {"0": "a;b", "1": "b;c", "2": "a", "3": "c"}
    error = read("x.csv", csv_text(joined), label_separator=",").error
    assert error.endswith("(set --label-separator ';', or --label-separator none if each is one label)")
    got = read("x.csv", csv_text(joined), label_separator="none")
    assert (got.error, got.labels["0"]) == ("", ["a;b"])


def test_vectors_have_more_than_one_label() -> None:
    table = {"train": "x", "label_separator": "none", "multi_hot": True}
    with pytest.raises(Exception, match="multi_hot or label_separator 'none', got both"):
        from_table(ImportConfig, table, "import")


def test_subjects_of_annif_keep_the_separator_that_is_named(read: Import) -> None:
    rows = "document_id,text,subject_uris\n1,one note,<http://x.org/a;b>\n2,two notes,http://x.org/c d\n"
    got = read("x.csv", rows, label_separator="none")
    assert got.labels == {"1": ["http://x.org/a;b"], "2": ["http://x.org/c d"]}
    bars = read("x.csv", rows.replace("a;b>", "a>|<http://x.org/b>"), label_separator="|")
    assert bars.labels["1"] == ["http://x.org/a", "http://x.org/b"]
