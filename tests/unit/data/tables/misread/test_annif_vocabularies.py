"""Vocabularies of Annif as label tables, and other label tables without a header."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.data.tables.contents import Import, jsonl
from xmcpipe.data.tables.formats import TextFileOptions
from xmcpipe.data.tables.label_table import read_label_table

URIS = [f"http://www.yso.fi/onto/yso/p{number}" for number in range(4)]
TEXTS = ["cats", "dogs", "birds, small", "fish"]
WANTED = dict(zip(URIS, TEXTS, strict=True))
LABELS = {str(row): [URIS[row % 4], *URIS[: row % 2]] for row in range(8)}
FINNISH = [f"fi {text}" for text in TEXTS]


def brackets(name: str) -> str:
    return f"<{name}>"


def bare(name: str) -> str:
    return name


def corpus(form: Callable[[str], str]) -> str:
    return "".join(
        f"note {row}\t{' '.join(form(label) for label in labels)}\n" for row, labels in LABELS.items()
    )


def csv_of(form: Callable[[str], str], languages: dict[str, list[str]], notation: bool = False) -> str:
    names = ["uri", *(["notation"] if notation else []), *languages]
    rows = [
        [form(uri), *(["59.9"] if notation else []), *(f'"{texts[row]}"' for texts in languages.values())]
        for row, uri in enumerate(URIS)
    ]
    return "".join(",".join(row) + "\n" for row in [names, *rows])


VOCABULARIES = {
    "tsv": ("v.tsv", "".join(f"<{uri}>\t{text}\n" for uri, text in WANTED.items())),
    "tsv with notations": ("v.tsv", "".join(f"<{uri}>\t{text}\t59.9\n" for uri, text in WANTED.items())),
    "tsv without brackets": ("v.tsv", "".join(f"{uri}\t{text}\n" for uri, text in WANTED.items())),
    "csv": ("v.csv", csv_of(bare, {"label_en": TEXTS})),
    "csv with brackets": ("v.csv", csv_of(brackets, {"label_en": TEXTS}, notation=True)),
}


@pytest.mark.parametrize("kind", VOCABULARIES)
@pytest.mark.parametrize("form", [brackets, bare])
def test_labels_match_with_and_without_brackets(
    read: Import, tmp_path: Path, kind: str, form: Callable[[str], str]
) -> None:
    name, content = VOCABULARIES[kind]
    (tmp_path / name).write_text(content)
    table = {"label_table": str(tmp_path / name)}
    labels = {row: [form(label) for label in names] for row, names in LABELS.items()}
    wanted = {row: sorted(set(names)) for row, names in LABELS.items()}
    for file, text in (("x.jsonl", jsonl(labels)), ("x.tsv", corpus(brackets))):
        got = read(file, text, **table)
        assert (got.error, got.vocabulary, got.labels) == ("", WANTED, wanted)
        assert not [line for line in got.warnings if "label table" in line or "brackets" in line]
    assert any("as in vocabularies of Annif" in line for line in got.log)
    headless = name == "v.tsv" and read("x.jsonl", jsonl(labels), **table, label_header=False).vocabulary
    assert headless in (False, WANTED)


def test_a_language_must_be_named_if_there_are_several(read: Import, tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text(csv_of(bare, {"label_en": TEXTS, "label_fi": FINNISH}, notation=True))
    table = {"label_table": str(path)}
    error = read("x.jsonl", jsonl(LABELS), **table).error
    assert "v.csv: expected one column of label texts, got label_en, label_fi (name one with" in error
    got = read("x.jsonl", jsonl(LABELS), **table, label_text_column="label_fi")
    assert got.vocabulary == dict(zip(URIS, FINNISH, strict=True))
    named = read("x.jsonl", jsonl(LABELS), **table, label_column="uri", label_text_column="label_en")
    assert named.vocabulary == WANTED
    numbers = {row: [URIS.index(label) for label in labels] for row, labels in LABELS.items()}
    numbered = read("x.jsonl", jsonl(numbers), **table, label_column="#", label_text_column="label_en")
    assert numbered.vocabulary == dict(zip("0123", TEXTS, strict=True))


@pytest.mark.parametrize("form", [brackets, bare])
def test_a_vocabulary_of_other_labels_shows_three_of_each(
    read: Import, tmp_path: Path, form: Callable[[str], str]
) -> None:
    (tmp_path / "v.tsv").write_text("".join(f"{form(f'http://other.org/x{n}')}\t{n}\n" for n in range(5)))
    error = read("x.tsv", corpus(brackets), label_table=str(tmp_path / "v.tsv")).error
    documents = ", ".join(map(repr, URIS[:3]))
    other = "'http://other.org/x0', 'http://other.org/x1', 'http://other.org/x2'"
    assert f"documents have {documents}, the table has {other} (check --label-column" in error


def test_tables_of_other_names_stay_as_they_are(read: Import, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("label,text\n<art>,one\n<law>,two\n")
    got = read(
        "x.jsonl",
        jsonl({"0": ["<art>"], "1": ["<law>", "<http://ex.org/a>"]}),
        label_table=str(tmp_path / "t.csv"),
    )
    assert got.labels == {"0": ["<art>"], "1": ["<http://ex.org/a>", "<law>"]}
    (tmp_path / "own.csv").write_text("uri,label,text\nx,art,one\ny,law,two\n")
    own = read("x.jsonl", jsonl({"0": ["art"], "1": ["law"]}), label_table=str(tmp_path / "own.csv"))
    assert own.vocabulary == {"art": "one", "law": "two"}


@pytest.mark.parametrize("first", ["uri,label_en", "label,text", '"Name","Description"'])
def test_a_header_in_a_table_without_one(read: Import, tmp_path: Path, first: str) -> None:
    (tmp_path / "t.csv").write_text(f"{first}\nart,one\nlaw,two\n")
    table = {"label_table": str(tmp_path / "t.csv"), "label_header": False}
    error = read("x.jsonl", jsonl({"0": ["art"], "1": ["law"]}), **table).error
    assert "t.csv: expected a label in the first line, got a header" in error
    assert error.endswith("(read it as the header, without --no-label-header)")


def test_quotes_in_a_table_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('"a, b","one, ""1"""\ntag,a tag, small\nc,"x" and y\nd\n')
    rows = read_label_table(path, "label", "text", TextFileOptions(header=False)).rows()
    assert rows == [("a, b", 'one, "1"'), ("tag", "a tag, small"), ("c", '"x" and y'), ("d", None)]
    plain = read_label_table(path, "label", "text", TextFileOptions(header=False, quotes="none")).rows()
    assert plain[0] == ('"a', 'b","one, ""1"""')
