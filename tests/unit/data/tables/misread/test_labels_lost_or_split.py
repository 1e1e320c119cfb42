"""Labels of one document in several rows, and one label that a count or weight makes several."""

from typing import Any

import pytest

from tests.unit.data.tables.contents import NAMES, TRUTH, Import, csv_text, jsonl

PAIRS = "text,labels\n" + "".join(f"note {row},{name}\n" for row, names in TRUTH.items() for name in names)
LOST = "have the text of an earlier one and another label"
COUNTS = "labels end with a number of their own"


def _warned(read: Import, part: str, content: str, name: str = "x.csv", **table: Any) -> list[str]:
    separator = {} if name.endswith(".jsonl") else {"label_separator": ";"}
    return [line for line in read(name, content, **separator, **table).warnings if part in line]


def test_rows_of_a_text_and_a_label(read: Import) -> None:
    """Fewer than half of the rows repeat a text: the usual warning about repeated texts needs more."""
    (line,) = _warned(read, LOST, PAIRS, repeated="drop", split=3)
    assert "6 of 18 documents" in line
    assert "such as 'gamma' beside 'alpha': write all labels of a document in one row" in line
    # The table as both splits: each text is in both.
    assert "12 of 36 documents" in _warned(read, LOST, PAIRS, repeated="drop")[0]


def test_one_warning_for_rows_of_many_labels(read: Import) -> None:
    content = "text,labels\n" + "".join(f"note {row},{name}\n" for row in range(4) for name in NAMES)
    got = read("x.csv", content, label_separator=";", repeated="drop")
    assert sum("the text of an earlier one" in line for line in got.warnings) == 1
    assert any(LOST in line for line in got.warnings)


def test_repeated_texts_that_lose_no_label(read: Import) -> None:
    once = "text,labels\n" + "".join(f"note {row},{NAMES[row % 5]}\n" for row in range(20))
    assert not _warned(read, LOST, once + once.partition("\n")[2], repeated="drop", split=3)
    assert not _warned(read, LOST, once + "note 1,gamma\n", repeated="drop", split=3)
    assert not _warned(read, LOST, PAIRS)  # repeated texts are kept
    several = jsonl(TRUTH) + jsonl({row: ["eps", "beta"] for row in TRUTH})
    assert not _warned(read, LOST, several, "x.jsonl", repeated="drop", split=3)


@pytest.mark.parametrize("form", ["%s (%d)", "%s:%d", "%s x%d", "%s [%d]", "%s 0.%d", "%s (x%d)"])
def test_counts_and_weights(read: Import, form: str) -> None:
    labels = {
        row: ";".join(form % (name, int(row) % 4 + 1) for name in names) for row, names in TRUTH.items()
    }
    (line,) = _warned(read, COUNTS, csv_text(labels))
    assert all(repr(form % ("alpha", number)) in line for number in (1, 2))
    assert line.endswith("if it is a count or a weight, write names alone")


@pytest.mark.parametrize(
    "names",
    [
        ["Alien (1979)", "Alien (1986)", "Solaris (1972)", "Solaris (2002)", "Heat (1995)"],
        ["16:9", "4:3", "4:5", "21:9", "16:10"],
        ["John 3:16", "John 3:17", "Luke 2:1", "Luke 2:2", "Mark 1:1"],
        ["GO:0008150", "GO:0003674", "MONDO:0000001", "MONDO:0000002", "HP:0000118"],
        ["topic:1", "topic:2", "topic:3", "topic:4", "topic:5"],
        ["Python 3.8", "Python 3.9", "Java 1.8", "Java 1.7", "Perl 5.3"],
        ["grade 1", "grade 2", "level 1", "level 2", "year 1"],
        ["alpha (2)", "beta (1)", "gamma (1)", "delta (3)", "eps (1)"],  # each with one number
        ["art (1)", "art (2)", "law", "music", "city (1)"],
    ],
)
def test_numbers_that_are_part_of_a_name(read: Import, names: list[str]) -> None:
    labels = {row: names[int(row) % 5] for row in TRUTH}
    assert not _warned(read, COUNTS, csv_text(labels))
