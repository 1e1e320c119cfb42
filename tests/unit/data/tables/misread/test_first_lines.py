"""Lines above the header, and names of rows without a name in the header: import and eval say which."""

from pathlib import Path

import pytest

from tests.unit.data.label_lists.label_files import refused
from tests.unit.data.tables.contents import TRUTH, Import, csv_text

TABLE = csv_text({row: ";".join(labels) for row, labels in TRUTH.items()})
LISTS = "id,labels\n" + "".join(f"d{row},{';'.join(labels)}\n" for row, labels in TRUTH.items())
ABOVE = [
    ("# exported\n# by me\n", "'# exported'; it is in line 3 (remove lines 1 to 2)"),
    ("# exported today, by me\n", "'# exported today, by me'; it is in line 2 (remove line 1)"),
    ("Licence: CC-BY\n\n", "'Licence: CC-BY'; it is in line 3 (remove lines 1 to 2)"),
    ("document,meta\n", "'document,meta'; it is in line 2 (remove line 1)"),
    ("sep=,\n// exported\n", "'// exported'; it is in line 3 (remove lines 1 to 2)"),
]


@pytest.mark.parametrize(("above", "said"), ABOVE)
def test_lines_above_the_header(read: Import, tmp_path: Path, above: str, said: str) -> None:
    expected = f"expected the header in the first line, got {said}"
    assert read("x.csv", above + TABLE, label_separator=";").error.endswith(expected)
    (tmp_path / "p.csv").write_text(above + LISTS)
    refused(tmp_path / "p.csv", expected)


def test_lines_above_a_header_with_another_delimiter(read: Import, tmp_path: Path) -> None:
    table = "# exported\n" + TABLE.replace(",", "\t")
    assert "it is in line 2" in read("x.csv", table, label_separator=";").error
    (tmp_path / "p.csv").write_text("Exported, today\n" + LISTS.replace(";", "|").replace(",", ";"))
    refused(tmp_path / "p.csv", "it is in line 2")


def test_a_label_table_with_a_comment(read: Import, tmp_path: Path) -> None:
    listed = tmp_path / "labels.csv"
    listed.write_text("# labels of this year\nlabel,text\nalpha,one\nbeta,two\n")
    error = read("x.csv", TABLE, label_separator=";", label_table=str(listed)).error
    assert "labels.csv: expected the header in the first line" in error
    assert "it is in line 2" in error


def test_other_names_are_no_header_below(read: Import, tmp_path: Path) -> None:
    other = TABLE.replace("text,labels", "body,tags", 1)
    assert "expected a column 'text', got body, tags" in read("x.csv", other, label_separator=";").error
    (tmp_path / "p.csv").write_text(LISTS.replace("id,labels", "id,things", 1))
    refused(tmp_path / "p.csv", "expected a column 'labels' or 'label' in the first line")


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_row_names_of_r(read: Import, tmp_path: Path, delimiter: str) -> None:
    ending = "csv" if delimiter == "," else "tsv"

    def numbered(table: str) -> str:
        header, *rows = table.replace("\r", "").splitlines(keepends=True)
        return (header + "".join(f"{at},{row}" for at, row in enumerate(rows, 1))).replace(",", delimiter)

    said = "if rows begin with their names, as R writes them, give that column a name too (row.names = FALSE)"
    assert said in read(f"x.{ending}", numbered(TABLE), label_separator=";").error
    (tmp_path / f"p.{ending}").write_text(numbered(LISTS))
    refused(tmp_path / f"p.{ending}", said)


def test_commas_in_texts_are_no_row_names(read: Import, tmp_path: Path) -> None:
    commas = "text,labels\n" + "".join(f"note {row}, again,a\n" for row in range(5))
    error = read("x.csv", commas, label_separator=";").error
    assert error.endswith("(the file is read with delimiter ',' and double quotes (--delimiter, --quotes))")
    (tmp_path / "p.csv").write_text("id,labels\n" + "".join(f"d{row},a,b\n" for row in range(5)))
    refused(tmp_path / "p.csv", "put a value that holds ',' in double quotes")
    ended = "text,labels\n" + "".join(f"{row},a,\n" for row in range(5))
    assert "row.names" not in read("x.csv", ended, label_separator=";").error


@pytest.mark.parametrize("name", ["x", "x.dat", "x.psv", "x.csv.bak"])
@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_columns_in_a_file_of_another_ending(read: Import, name: str, delimiter: str) -> None:
    content = "".join(
        f"{text}{delimiter}{label}\n" for text, label in [("text", "labels"), ("a", "x"), ("b", "y")]
    )
    error = read(name, content, label_separator="none").error
    assert error.endswith("unknown table format (its first lines look like --format csv)")
    assert read(name, content, label_separator="none", format="csv").labels == {"0": ["x"], "1": ["y"]}
    assert "name it with --format: " in read(name, "a text, of words\nanother text\n").error
