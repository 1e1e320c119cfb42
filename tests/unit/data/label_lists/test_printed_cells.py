"""Lists that programs print into CSV: eval reads those that import reads, and refuses the others."""

from pathlib import Path

import pytest

from tests.unit.data.label_lists.label_files import as_lists, refused
from tests.unit.data.tables.contents import csv_text
from tests.unit.data.tables.misread.test_printed_lists import LISTS, NAMES, READ, REFUSED
from xmcpipe.data.label_lists.files import read_label_lists

ORDERED = [kind for kind in READ if "set" not in kind]


def write(folder: Path, values: dict[str, str]) -> Path:
    (folder / "x.csv").write_text(csv_text(values))
    return folder / "x.csv"


@pytest.mark.parametrize("kind", READ)
def test_printed_lists_are_read(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, READ[kind])
    assert [sorted(row) for row in as_lists(read_label_lists(path, "truth"))] == [
        sorted(labels) for labels in LISTS.values()
    ]
    if kind in ORDERED:
        assert as_lists(read_label_lists(path, "predictions")) == list(LISTS.values())


# Labels with numbers are pairs of a label and its score.
@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind not in ("objects", "Python's counts")])
def test_printed_lists_that_may_be_misread_are_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, {str(row): value for row, value in enumerate(REFUSED[kind])})
    refused(path, "x.csv", "JSON list" if kind != "PHP" else "list", role="truth")


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind != "parentheses"])
def test_names_with_brackets_are_names(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, {str(row): f"{value};z" for row, value in enumerate(NAMES[kind])})
    assert as_lists(read_label_lists(path, "truth")) == [[value, "z"] for value in NAMES[kind]]


def test_numbers_of_r_are_ids(tmp_path: Path) -> None:
    path = write(tmp_path, {"0": "c(3, 5)", "1": "c(7L, 0L)", "2": "4", "3": ""})
    assert as_lists(read_label_lists(path, "predictions")) == [[3, 5], [7, 0], [4], []]
    path = write(tmp_path, {"0": "{3,5}", "1": "{7}"})
    assert as_lists(read_label_lists(path, "truth")) == [[3, 5], [7]]
    refused(path, "a set has no order", role="predictions")
