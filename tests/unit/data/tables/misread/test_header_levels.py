"""Rows of names below the header are no documents. The tables are as pandas 2 and surveys write them."""

from pathlib import Path

import pytest

from tests.unit.data.tables.contents import Import
from xmcpipe.data.label_lists.files import read_label_lists
from xmcpipe.errors import XmcpipeError

INDEXED = "0,note 0 about,art;law\n1,note 1 about,law\n2,note 2 about,art\n"
BARE = "note 0 about,art;law\nnote 1 about,law\nnote 2 about,art\n"
# Rows above and in the header -> the rows below it, and the lines to remove.
LEVELS = {
    "the result of agg, with its index": (",text,labels\n,first,<lambda>\nid,,\n", INDEXED, "lines 2 to 3"),
    "the result of agg, without an index": ("id,text,labels\n,first,<lambda>\n", INDEXED, "line 2"),
    "a blank second level of two columns": (",text,labels\n,en,gold\n", INDEXED, "line 2"),
    "three levels": (",text,labels\n,en,gold\n,x,y\n", INDEXED, "lines 2 to 3"),
    "the name of the index": ("col,text,labels\nid,,\n", INDEXED, "line 2"),
    "names of both": ("col,text,labels\nhow,first,first\nid,,\n", INDEXED, "lines 2 to 3"),
    "aggregates without an index": ("text,labels\nfirst,<lambda>\n", BARE, "line 2"),
    "the names once more in another order": ("text,labels\ntitle,tags\n", BARE, "line 2"),
    "SurveyMonkey": ("text,labels\nOpen-Ended Response,Response\n", BARE, "line 2"),
    "Qualtrics": (
        'text,labels\nWhich?,What?\n"{""ImportId"":""QID1""}","{""ImportId"":""QID2""}"\n',
        BARE,
        "lines 2 to 3",
    ),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_a_row_more_of_the_header_is_refused(read: Import, tmp_path: Path, kind: str) -> None:
    header, rows, lines = LEVELS[kind]
    error = read("x.csv", header + rows, label_separator=";").error
    last = len(header.splitlines())
    assert f"x.csv, line {last}: expected a row of the table, got a row more of the header: " in error
    assert f"(remove {lines}" in error
    noted = read("x.csv", "sep=,\n" + header + rows, label_separator=";").error
    assert f"x.csv, line {last + 1}: " in noted
    (tmp_path / "x.csv").write_text(header + rows)
    with pytest.raises(XmcpipeError, match=rf"x.csv, line {last}: .* \(remove {lines}"):
        read_label_lists(tmp_path / "x.csv", "truth")
    first = header.splitlines(keepends=True)[0]
    assert len(read("x.csv", first + rows, label_separator=";").labels) == 3


@pytest.mark.parametrize(
    "header", ["doc,doc\ntext,labels\n", "x,x\ndoc,ann\ntext,labels\n", ",doc,ann\n,text,labels\n"]
)
def test_names_in_a_lower_row_of_the_header(read: Import, header: str) -> None:
    rows = INDEXED if header.startswith(",") else BARE
    line = len(header.splitlines())
    above = "line 1" if line == 2 else f"lines 1 to {line - 1}"
    error = read("x.csv", header + rows, label_separator=";").error
    assert f"; it is in line {line} (remove {above})" in error
    lines = (header + rows).splitlines(keepends=True)
    assert len(read("x.csv", "".join(lines[line - 1 :]), label_separator=";").labels) == 3


def test_a_blank_row_below_the_header_is_warned_about(read: Import) -> None:
    got = read("x.csv", "text,labels\n,\n" + BARE, label_separator=";")
    assert got.labels["0"] == []
    assert any("line 2, below the header, has only blank values" in line for line in got.warnings)


DOCUMENTS = {
    "an index without a name": ",text,labels\n" + INDEXED,
    "an index of words": ",text,labels\na,one,art\nb,two,law\nc,three,art\n",
    "no index in some rows": ",text,labels\n,one,art\n,two,law\n,three,art\n",
    "a first document of a word": "text,labels\nfirst,count\nfirst of all,law\nup,down\nmin,count\n",
    "opposites": "text,labels\nfirst,last\nhot,cold\nup,down\n",
    "documents of aggregates": "text,labels\nfirst,count\nlast,count\nmean,count\n",
    "a first document called title": "text,labels\ntitle,art\nabstract,law\n",
    "labels called tags": "text,labels\ntitle,tags\nnote,tags\nother,tags\n",
    "a first document without text and labels": "id,text,labels\n7,,\n8,one,art\n9,two,law\n",
    "ids of words": "id,text,labels\nx,,\ny,one,art\nz,two,law\n",
    "one document": "text,labels\nfirst,list\n",
    "texts in JSON": 'text,labels\n"{""a"": 1}",art\n"{""a"": 2}",law\n"{""a"": 3}",art\n',
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_first_documents_that_look_odd_are_documents(read: Import, kind: str) -> None:
    got = read("x.csv", DOCUMENTS[kind], label_separator="none")
    assert (got.error, len(got.labels)) == ("", len(DOCUMENTS[kind].splitlines()) - 1)
    assert not any("header" in line for line in got.warnings)
