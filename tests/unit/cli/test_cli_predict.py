"""`predict` on texts, with a fake model."""

import gzip
import json
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from typer.testing import CliRunner

from xmcpipe.cli.app import app
from xmcpipe.inference.bundle import Prediction
from xmcpipe.inference.selection import Wanted


class FakeBundle:
    """Labels a text with its words, and records the texts and settings."""

    seen: ClassVar[list[str]] = []
    settings: ClassVar[tuple[Any, ...]] = ()
    batch_size: ClassVar[int] = 0
    wanted: ClassVar[Wanted | None] = None

    @staticmethod
    def load(folder: Path, *settings: Any) -> "FakeBundle":
        assert folder == Path("model")
        FakeBundle.settings = settings
        return FakeBundle()

    def select(self, wanted: Wanted, model: object) -> Wanted:
        FakeBundle.wanted = wanted
        return wanted

    def predict(self, texts: Iterable[str], wanted: Wanted, batch_size: int) -> Iterator[list[Prediction]]:
        FakeBundle.batch_size = batch_size
        for text in texts:
            self.seen.append(text)
            words = text.split()[: wanted.k]
            yield [
                Prediction(word, word.upper() if word != "plain" else None, 1.0 / (i + 1), 0.5 / (i + 1))
                for i, word in enumerate(words)
            ]


@pytest.fixture
def predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType("xmcpipe.inference.bundle")
    module.Bundle = FakeBundle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xmcpipe.inference.bundle", module)
    monkeypatch.chdir(tmp_path)
    FakeBundle.seen.clear()
    Path("model").mkdir()
    return lambda *arguments, **more: CliRunner().invoke(
        app, ["predict", "--model", "model", *arguments], **more
    )


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_texts_of_the_command_line_become_json_lines_off_a_terminal(predict: Any) -> None:
    result = predict("--text", "plain blue", "--text", "gemütlich", "--top", "2")
    assert rows(result.stdout) == [
        {
            "text": "plain blue",
            "labels": [
                {"label": "plain", "text": None, "score": 1.0, "probability": 0.5},
                {"label": "blue", "text": "BLUE", "score": 0.5, "probability": 0.25},
            ],
        },
        {
            "text": "gemütlich",
            "labels": [{"label": "gemütlich", "text": "GEMÜTLICH", "score": 1.0, "probability": 0.5}],
        },
    ]


def test_on_a_terminal_they_are_for_people(predict: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcpipe.cli.labelling._is_terminal", lambda: True)
    result = predict("--text", "plain blue")
    assert result.stdout.splitlines() == [
        "plain blue",
        "     1.0000   50.0%  plain",
        "     0.5000   25.0%  blue  BLUE",
    ]


def test_a_file_of_objects_keeps_its_ids(predict: Any) -> None:
    Path("in.jsonl").write_text('{"id": 7, "text": "a b"}\n\n{"text": "c"}')
    result = predict("--input", "in.jsonl", "--top", "1")
    assert [(row.get("id"), row.get("text"), row["labels"][0]["label"]) for row in rows(result.stdout)] == [
        ("7", None, "a"),
        (None, "c", "c"),
    ]
    with gzip.open("in.jsonl.gz", "wt") as file:
        file.write('{"id": "x", "text": "a b"}\n')
    assert rows(predict("--input", "in.jsonl.gz").stdout)[0]["id"] == "x"


def test_standard_input_takes_lines_and_objects(predict: Any) -> None:
    result = predict(input='blue sky\n{"id": "x", "text": "green"}\n')
    assert FakeBundle.seen == ["blue sky", "green"]
    assert rows(result.stdout)[1]["id"] == "x"
    predict("--input", "-", input="red\n")
    assert FakeBundle.seen[-1] == "red"
    empty = predict(input="")
    assert (empty.exit_code, empty.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.jsonl", b'{"text": "a"}\nplain', "in.jsonl, line 2: invalid JSON"),
        ("in.jsonl", b'{"texts": "a"}', "in.jsonl: expected a column 'text', got texts"),
        ("in.jsonl", b"[3]", "1: expected an object, got a number"),
        ("in.jsonl", '{"text": "gemütlich"}'.encode("latin-1"), "in.jsonl, line 1: the bytes aren't utf-8"),
        ("in.txt", b'\n{"text": "a"}\n', "its first line looks like JSON"),
        ("in.txt", b"one\ttext\nother\ttext\n", "look like --input-format libmultilabel"),
        ("in.csv", b"id,text\n1,a\n,b\n", "row 2: 'id' is empty"),
        ("in.xlsx", b"text\n", "unknown"),
        ("in.csv", b"body\na\n", "expected a column 'text', got body"),
        ("-", b'a\n{"text": 3}\n', "expected a string `text` in standard input, line 2"),
        ("-", b'{"texts": "a"}', "in standard input, line 1, got texts"),
        ("-", b"{a}", "standard input, line 1 isn't JSON"),
        ("-", b"a\n\xe4", "standard input, line 2 isn't UTF-8 text"),
    ],
)
def test_a_line_that_is_no_document_is_one_error(
    predict: Any, name: str, content: bytes, message: str
) -> None:
    if name != "-":
        Path(name).write_bytes(content)
    named = ["--id-column", "id"] if b"id," in content else []
    result = predict("--input", name, *named, input=content)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert FakeBundle.seen == []


def test_lines_of_text_keep_their_places(predict: Any) -> None:
    """The case predict_input: six lines, of which three are blank; and a table with a header and ids."""
    Path("blank.txt").write_text("first text\n\nsecond text\n\n\nthird text\n")
    found = rows(predict("--input", "blank.txt", "--top", "1").stdout)
    assert [row["text"] for row in found] == ["first text", "", "second text", "", "", "third text"]
    assert [len(row["labels"]) for row in found] == [1, 0, 1, 0, 0, 1]
    assert found == rows(predict("--input", "-", "--top", "1", input=Path("blank.txt").read_text()).stdout)
    Path("cr.txt").write_bytes(b"first text\r\rsecond text\r\r\rthird text\r")
    assert found == rows(predict("--input", "cr.txt", "--top", "1").stdout)
    Path("docs.csv").write_text("id,text\n1,text one\n")
    (row,) = rows(predict("--input", "docs.csv", "--top", "1").stdout)
    assert (row["id"], [each["label"] for each in row["labels"]]) == ("1", ["text"])


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "parquet"])
def test_tables_are_read_as_import_reads_them(predict: Any, ending: str) -> None:
    table = pl.DataFrame({"key": ["x", "y"], "title": ["a", ""], "body": ["b, c", " d "]})
    path = Path(f"in.{ending}")
    if ending == "tsv.gz":
        path.write_bytes(gzip.compress(table.write_csv(separator="\t", quote_style="never").encode()))
    else:
        write: Any = {"csv": pl.DataFrame.write_csv, "jsonl": pl.DataFrame.write_ndjson}.get(ending)
        (write or pl.DataFrame.write_parquet)(table, path)
    columns = [
        "--id-column",
        "key",
        "--text-column",
        "title",
        "--text-column",
        "body",
        "--text-separator",
        "|",
    ]
    result = predict("--input", str(path), *columns)
    assert [row["id"] for row in rows(result.stdout)] == ["x", "y"], result.stderr
    assert FakeBundle.seen == ["a|b, c", "d"]


def test_a_folder_has_a_text_in_each_file(predict: Any) -> None:
    Path("texts").mkdir()
    files = {"b.txt": "green\nand blue\n", "a.txt": "red", "a.key": "<colour>", "notes.md": "no"}
    for name, text in files.items():
        Path("texts", name).write_text(text)
    found = rows(predict("--input", "texts", "--top", "1").stdout)
    assert [row["id"] for row in found] == ["a", "b"]
    assert [" ".join(text.split()) for text in FakeBundle.seen] == ["red", "green and blue"]
    Path("empty").mkdir()
    refused = predict("--input", "empty")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "expected a folder of .txt files, got none" in refused.stderr


def test_labels_of_other_tools_are_no_text_and_whole_ids_stay_whole(predict: Any) -> None:
    Path("in.txt").write_text("__label__x __label__y blue sky\n__label__x green\n")
    predict("--input", "in.txt")
    Path("in.csv").write_text("body;id\na, b;7.0\nc;8.0\n")
    found = rows(predict("--input", "in.csv", "--delimiter", ";", "--text-column", "body").stdout)
    assert FakeBundle.seen == ["blue sky", "green", "a, b", "c"]
    assert [row["id"] for row in found] == ["7", "8"]
    Path("docs").write_text('{"text": "red"}\n')
    predict("--input", "docs", "--input-format", "jsonl")
    assert FakeBundle.seen[-1] == "red"


def test_a_line_of_text_may_look_like_json(predict: Any) -> None:
    Path("in.txt").write_text('{"text": "a"}\n')
    predict("--input", "in.txt", "--input-format", "text")
    predict("--input", "-", "--input-format", "text", input="{a}\n")
    assert FakeBundle.seen == ['{"text": "a"}', "{a}"]


def test_settings_reach_the_model(predict: Any) -> None:
    more = ["--set", "predict.precision=float16", "--set", "predict.propensity_weight=0.5"]
    result = predict("--text", "a b c d e f g", "--device", "cpu", "--batch-size", "3", *more)
    assert FakeBundle.settings == ("cpu", "float16", 32768, False, 0.5, None, "score")
    assert FakeBundle.batch_size == 3
    assert len(rows(result.stdout)[0]["labels"]) == 5
    assert len(rows(predict("--text", "a b c", "--set", "predict.k=2").stdout)[0]["labels"]) == 2
    Path("names.txt").write_text("\ufeffb, c\r\n\nd \n", encoding="utf-8")
    predict("--text", "a", "--threshold", "0.25", "--allow", "names.txt", "--deny", " b ,c")
    assert FakeBundle.wanted == Wanted(5, 0.25, ("b, c", "d "), ("b", "c"))
    predict("--text", "a", "--threshold", "macro-f1", "--set", 'predict.deny="names.txt"')
    assert FakeBundle.wanted == Wanted(5, "macro-f1", None, ("b, c", "d "))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a", "--threshold", "f2"], 'expected a number or "f1" or "macro-f1", got \'f2\''),
        (["--text", "a", "--threshold", "nan"], "expected a finite number, got nan"),
        (["--text", "a", "--threshold", "-0.1"], "expected 0 <= threshold <= 1"),
        (["--text", "a", "--allow", " , "], "expected names of labels or a file with --allow"),
        (["--text", "a", "--set", "predict.allow=none.txt"], "predict.allow: expected a file, but none.txt"),
        (["--text", "a", "--set", "predict.allow=3"], "predict.allow: expected a list, got 3"),
        (["--text", "a", "--input", "b"], "expected one of --text and --input"),
        (["--input", "none.jsonl"], "none.jsonl does not exist"),
        (["--text", "a", "--input-format", "xls"], "expected --input-format, one of text, auto"),
        (["--text", "a", "--shards", "s"], "expected either texts or --shards"),
        (["--text", "a", "--force"], "--force is for the test documents"),
        (["--text", "a", "--format", "csv"], "expected -o FILE with --format"),
        (["--text", "a", "-o", "a.csv", "--explain"], "expected one of --explain and -o"),
        (["--text", "a", "-o", "a.xls"], "expected an output of format parquet, jsonl, csv, npz"),
        (["--text", "a", "-o", "none/a.csv"], "there is no folder"),
        (["--input", "in.csv", "-o", "./in.csv"], "expected another file with -o, got the input"),
        (["--text", "a", "--text-column", "b"], "expected a file with --text-column"),
        (["--input", "-", "--no-header"], "expected a file with --header"),
        (["--input", "in.txt", "--id-column", "b"], "expected a table with --id-column, got plain text"),
        (["--shards", "s", "-o", "a.csv"], "expected texts with -o, got none"),
        (["--shards", "s", "--explain"], "expected a text with --explain"),
        (["one", "--recipe", "two", "--text", "a"], "expected one recipe, got two"),
    ],
)
def test_impossible_options_are_refused(predict: Any, arguments: list[str], message: str) -> None:
    Path("in.txt").write_text("a\n")
    Path("in.csv").write_text("text\na\n")
    result = predict(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_model_is_needed(predict: Any) -> None:
    nothing = CliRunner().invoke(app, ["predict", "--text", "a"])
    assert nothing.exit_code == 2
    assert "expected a model or a recipe" in nothing.stderr
