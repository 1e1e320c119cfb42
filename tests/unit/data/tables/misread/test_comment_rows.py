"""Rows of comments among the documents are warned about; titles of Markdown and hashtags are texts."""

import pytest

from tests.unit.data.tables.contents import Import

ROWS = [f"note {row} about,{'art' if row % 2 else 'law'}\n" for row in range(30)]


def comments(read: Import, *extra: str, header: str = "text,labels\n") -> list[str]:
    rows = [*ROWS[:10], *extra, *ROWS[10:]]
    got = read("x.csv", header + "".join(rows), label_separator=";")
    assert got.error == ""
    assert len(got.labels) == len(rows)
    return [line for line in got.warnings if "as a comment does" in line]


@pytest.mark.parametrize(
    "comment",
    ["# checked by Ann", "// checked", "-- checked", "% checked", "/* checked */", "REM checked", "##"],
)
def test_comments_are_warned_about(read: Import, comment: str) -> None:
    said = f"1 of 31 rows have no label and begin as a comment does, such as {comment!r}"
    assert any(said in line for line in comments(read, f"{comment},\n"))
    rows = "".join(f"d{row},{line}" for row, line in enumerate(ROWS))
    got = read("x.csv", f"id,text,labels\n{comment},,\n{rows}", label_separator=";")
    assert any(said in line for line in got.warnings)


@pytest.mark.parametrize("comment", ["# checked by Ann", "// checked"])
def test_a_comment_without_delimiters_names_the_way_out(read: Import, comment: str) -> None:
    got = read("x.csv", "text,labels\n" + ROWS[0] + f"{comment}\n" + ROWS[1], label_separator=";")
    assert "row 2: Expected 2 columns, got 1" in got.error
    assert got.error.endswith("; remove the row if it is a comment)")


@pytest.mark.parametrize(
    "text", ["#art is long", "#1 of all", "--verbose", "C# in depth", "remarks", "50 % of"]
)
def test_texts_that_begin_like_comments_are_none(read: Import, text: str) -> None:
    assert not comments(read, f"{text},\n")


def test_titles_of_markdown_are_texts(read: Import) -> None:
    assert not comments(read, "# A title,\n", "# Another,art\n")
    assert not comments(read, "# A title,\n", *[f"more {row},\n" for row in range(3)])
    assert not comments(read, *[f"# Title {row},\n" for row in range(12)])
