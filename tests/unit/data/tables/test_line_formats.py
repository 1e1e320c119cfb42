"""Files of other programs in their true layouts: fastText, LibMultiLabel, Annif, PECOS text2text."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.data.tables.contents import Import
from xmcpipe.data.tables.formats import DocumentColumns, TextFileOptions, read_documents

FASTTEXT = """\
__label__sauce __label__cheese How much does potato starch affect a cheese sauce recipe?
__label__food-safety Dangerous pathogens capable of growing in acidic environments

__label__cast-iron __label__stove How do I cover up the white spots on my cast iron stove?
"""
LIBMULTILABEL = """\
2286\tE11 E12 M11\trecovery excit excit mexican stock markets close
2287\tC24\tworld production of wheat "record high"
2288\t\tno labels here
"""
ANNIF = """\
A 20-year-old thesaurus, revisited\t<http://example.org/thesaurus/subj1> <http://example.org/thesaurus/subj2>
Cats and the internet\t<http://example.org/thesaurus/subj2>
"""
PECOS = """\
0,1,2\tAlan Turing is widely considered to be the father of theoretical computer science
0,2,3\tHinton was co-author of a highly cited paper
3,4,5\tIn 1989, Yann LeCun et al. applied\tbackpropagation
"""
URI = "http://example.org/thesaurus/subj"


def test_fasttext_is_recognised_by_its_first_lines(read: Import) -> None:
    for name, content in (("x.txt", FASTTEXT.encode()), ("x.txt.gz", gzip.compress(FASTTEXT.encode()))):
        got = read(name, content)
        assert got.labels == {
            "0": ["cheese", "sauce"],
            "1": ["food-safety"],
            "2": ["cast-iron", "stove"],
        }
        assert got.texts["1"] == "Dangerous pathogens capable of growing in acidic environments"


def test_fasttext_with_another_prefix_and_labels_at_the_end(read: Import) -> None:
    text = "#cat a text #dog\n#dog more #1 text\n"
    got = read("x.txt", text, format="fasttext", label_prefix="#")
    assert got.labels == {"0": ["cat", "dog"], "1": ["1", "dog"]}
    assert got.texts == {"0": "a text", "1": "more text"}
    error = read("x.txt", text, format="fasttext").error
    assert (
        "line 1: expected labels, words that begin with '__label__'; got none, the line begins with '#cat'"
        in error
    )
    joined = read("x.txt", "__label__a,__label__b text\n__label__a text\n").error
    assert (
        "line 1: expected blanks between labels, got a label with '__label__' in it: 'a,__label__b'" in joined
    )


def test_libmultilabel_with_and_without_ids(read: Import) -> None:
    got = read("x.txt", LIBMULTILABEL, format="libmultilabel")
    assert got.labels == {"2286": ["E11", "E12", "M11"], "2287": ["C24"], "2288": []}
    assert got.texts["2287"] == 'world production of wheat "record high"'
    short = "".join(line.split("\t", 1)[1] for line in LIBMULTILABEL.splitlines(keepends=True))
    assert read("x.txt", short, format="libmultilabel").labels["0"] == ["E11", "E12", "M11"]
    mixed = read("x.txt", LIBMULTILABEL + "C24\ttext\n", format="libmultilabel").error
    assert "line 4: expected id, labels and text with tabs between them, got 1 tabs" in mixed


@pytest.mark.parametrize("name", ["x.tsv", "x.txt", "x.tsv.gz"])
def test_annif_short_text_tsv(read: Import, name: str) -> None:
    got = read(name, gzip.compress(ANNIF.encode()) if name.endswith("gz") else ANNIF)
    assert got.labels == {"0": [f"{URI}1", f"{URI}2"], "1": [f"{URI}2"]}
    assert got.texts["0"] == "A 20-year-old thesaurus, revisited"


def test_a_tsv_whose_columns_are_named_is_no_annif_file(read: Import) -> None:
    table = {"header": False, "text": ["1"], "labels": "2", "label_separator": " "}
    assert read("x.tsv", ANNIF, **table).labels["1"] == [f"<{URI}2>"]


def test_annif_csv_and_jsonl(read: Import) -> None:
    table = f'document_id,text,subject_uris,note\nd1,"Cats, mostly",<{URI}1> <{URI}2>,x\nd2,Dogs,<{URI}2>,y\n'
    truth = {"d1": [f"{URI}1", f"{URI}2"], "d2": [f"{URI}2"]}
    got = read("x.csv", table)
    assert got.labels == truth
    assert "there is no column 'labels': labels are read from 'subject_uris', as Annif writes them" in got.log
    assert read("x.csv", table, format="annif").labels == truth
    lines = [
        {
            "document_id": name,
            "text": "t",
            "metadata": {"title": "T"},
            "subjects": [{"uri": uri, "label": "a"} for uri in uris],
        }
        for name, uris in truth.items()
    ]
    assert read("x.jsonl", "".join(json.dumps(line) + "\n" for line in lines)).labels == truth
    assert read("x.json", json.dumps(lines)).labels == truth


def test_annif_folder(read: Import, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "a.txt").write_text("\ufeffOne text\nof two lines\n")
    (folder / "a.tsv").write_text(f"<{URI}1>\tinternet & society\n<{URI}2>\tcats\n")
    (folder / "b.txt").write_text("Another")
    (folder / "b.key").write_text("cats\n\ninternet & society\n")
    (folder / "c.txt").write_text("Third")
    (folder / "c.lab").write_text("dogs\n")
    (folder / "d.txt").write_text("Without subjects")
    got = read("given")
    assert got.labels == {
        "a": [f"{URI}1", f"{URI}2"],
        "b": ["cats", "internet & society"],
        "c": ["dogs"],
        "d": [],
    }
    assert got.texts["a"] == "One text\nof two lines"
    assert "1 of 4 documents have no file of subjects" in got.warnings[0]
    for path in folder.glob("[a-c].*[yvb]"):
        path.unlink()
    error = read("given").error
    assert "got 4 .txt files and none of subjects" in error


def test_pecos_text2text(read: Import, tmp_path: Path) -> None:
    (tmp_path / "output-labels.txt").write_text(
        "AI researchers\nComputability theorists\nBritish\nML\nTuring\nDL\n"
    )
    table = {"format": "pecos", "label_table": str(tmp_path / "output-labels.txt")}
    got = read("x.txt", PECOS, **table)
    assert got.labels == {"0": ["0", "1", "2"], "1": ["0", "2", "3"], "2": ["3", "4", "5"]}
    assert got.vocabulary["1"] == "Computability theorists"
    assert got.texts["2"].endswith("applied\tbackpropagation")
    relevant = read("x.txt", "0::1.0,2::2.0\ttext\n2::0.5,3::0.0\tmore\n", format="pecos")
    assert relevant.labels == {"0": ["0", "2"], "1": ["2"]}
    assert any("labels have a relevance" in line for line in relevant.log)


@pytest.mark.parametrize(
    ("format_", "content", "fault"),
    [
        ("pecos", "some text\t0,1\n", "line 1: expected numbers of labels, a tab, and a text"),
        ("pecos", "0,1 text\n", "line 1: expected numbers of labels, a tab, and a text"),
        ("annif", "<http://a>\tsome text\n", "line 1: expected a text, a tab, and subjects as <uri> <uri>"),
        ("annif", "text\t<http://a>\n\nno tab\n", "line 3: expected a text, a tab, and subjects"),
        (
            "libmultilabel",
            "1\ta\ttext\tmore\n",
            "line 1: expected labels and text with tabs between them, got 3",
        ),
    ],
)
def test_faulty_lines_are_named(read: Import, format_: str, content: str, fault: str) -> None:
    assert fault in read("x.txt", content, format=format_).error


def test_options_of_columns_and_unknown_endings_are_refused(read: Import) -> None:
    assert "files of format fasttext have no columns" in read("x.txt", FASTTEXT, labels="tags").error
    error = read("x.txt", "plain text\n").error
    assert "unknown table format" in error
    assert "--format: jsonl, json, csv, tsv, parquet, arrow, fasttext, libmultilabel, annif, pecos" in error
    for content, similar in ((PECOS, "pecos"), (LIBMULTILABEL, "libmultilabel")):
        assert f"its first lines look like --format {similar}" in read("x.txt", content).error
    assert read("x.data", "text,labels\na,b\n", format="csv", label_separator=";").labels == {"0": ["b"]}


words = st.text("abc_<>:,é", min_size=1, max_size=6)
texts = st.lists(words, min_size=1, max_size=5).map(" ".join)
labels = st.lists(st.text("abcé-1", min_size=1, max_size=4), min_size=1, max_size=3, unique=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(texts, labels), min_size=1, max_size=8))
def test_any_documents_read_back_as_they_were_written(tmp_path: Path, rows: list[Any]) -> None:
    lines = {
        "fasttext": [" ".join(f"__label__{name}" for name in names) + f" {text}" for text, names in rows],
        "libmultilabel": [" ".join(names) + f"\t{text}" for text, names in rows],
        "annif": [f"{text}\t" + " ".join(f"<{name}>" for name in names) for text, names in rows],
    }
    for format_, written in lines.items():
        (tmp_path / "x.txt").write_text("\n".join(written))
        options = TextFileOptions(format=format_)
        (frame,) = read_documents(tmp_path / "x.txt", DocumentColumns(), options)
        assert frame["text"].to_list() == [text for text, _ in rows]
        assert frame["labels"].to_list() == [names for _, names in rows]
