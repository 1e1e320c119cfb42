"""Files with mistakes of several kinds, and what an import makes of them."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume
from hypothesis import strategies as st

from tests.unit.data.tables.importing import imported

PROSE = "a note about the old coins that were found, near the harbour, in the year of the flood"
WORDS = PROSE.split()
SEPARATORS = [";", "|", ",", "\t", " "]


@dataclass(frozen=True)
class Case:
    """A file and the options of its import; `truth` has the labels of each document, by row."""

    truth: list[list[str]]
    ending: str
    rows: list[dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    table: list[dict[str, str]] | None = None

    def write(self, folder: Path) -> Path:
        path = folder / f"fuzz.{self.ending}"
        if self.ending == "parquet":
            pq.write_table(pa.Table.from_pylist(self.rows), path)
        elif self.ending == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        else:
            path.write_text(delimited(self.rows))
        if self.table is not None:
            (folder / "table.csv").write_text(delimited(self.table))
        return path


def delimited(rows: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def text(row: int, words: int) -> str:
    return " ".join([f"n{row}", *(WORDS[(row * 3 + place) % len(WORDS)] for place in range(words))])


@st.composite
def truths(draw: st.DrawFn, names: list[str] | None = None) -> list[list[str]]:
    """The labels of 10 to 16 documents; some have several, and most labels come back."""
    if names is None:
        kind = draw(st.sampled_from(["word", "number", "two words"]))
        names = {
            "word": ["alpha", "beta", "gamma", "delta", "eps"],
            "number": ["3", "17", "256", "4", "90"],
            "two words": ["machine learning", "deep nets", "old coins", "bird song", "harbours"],
        }[kind]
    some = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
    labels = draw(st.lists(some, min_size=10, max_size=16))
    assume(sum(len(each) > 1 for each in labels) >= 3)
    assume(len({name for each in labels for name in each}) >= 3)
    return labels


@st.composite
def vectors(draw: st.DrawFn) -> Case:
    labels = draw(truths())
    names = sorted({name for each in labels for name in each})
    type_ = draw(st.sampled_from([int, float, bool]))
    ending = draw(st.sampled_from(["csv", "jsonl", "parquet"]))
    lists: list[Any] = [[type_(name in each) for name in names] for each in labels]
    options: dict[str, Any] = {}
    shape = draw(st.sampled_from(["list", "text", "separated"])) if ending != "csv" else "text"
    if ending == "csv":
        shape = draw(st.sampled_from(["text", "separated"]))
    if shape == "text":
        without_commas = draw(st.booleans())
        lists = [str(each).replace(",", "") if without_commas else str(each) for each in lists]
        options = draw(st.sampled_from([{}, {"label_separator": ","}, {"label_separator": " "}]))
    if shape == "separated":
        lists = [",".join(map(str, each)) for each in lists]
        options = {"label_separator": ","}
    rows = [{"text": text(row, 9), "labels": each} for row, each in enumerate(lists)]
    return Case(labels, ending, rows, options)


WRITERS: list[Callable[[list[str]], str]] = [
    str,
    json.dumps,
    lambda each: str(tuple(each)),
    lambda each: "[" + " ".join(map(repr, each)) + "]",
    lambda each: "[" + ", ".join(each) + "]",
    lambda each: "{" + ";".join(each) + "}",
    lambda each: "[" + "; ".join(map(repr, each)) + "]",
]


@st.composite
def stringified(draw: st.DrawFn) -> Case:
    labels = draw(truths())
    write = draw(st.sampled_from(WRITERS))
    rows = [{"text": text(row, 9), "labels": write(each)} for row, each in enumerate(labels)]
    options = draw(st.sampled_from([{}, *({"label_separator": each} for each in SEPARATORS)]))
    return Case(labels, draw(st.sampled_from(["csv", "jsonl", "parquet"])), rows, options)


@st.composite
def wrong_separators(draw: st.DrawFn) -> Case:
    labels = draw(truths())
    own = draw(st.sampled_from([*SEPARATORS, ", ", "; "]))
    given_ = draw(st.sampled_from([*SEPARATORS, "\\t", ", ", ":"]))
    assume(not (own == " " and any(" " in name for each in labels for name in each)))
    rows: list[dict[str, Any]] = [
        {"text": text(row, 9), "labels": own.join(each)} for row, each in enumerate(labels)
    ]
    ending = draw(st.sampled_from(["csv", "jsonl", "parquet"]))
    if draw(st.booleans()):
        return Case(labels, ending, rows, {"label_separator": given_})
    assume(ending != "csv" and own.strip() in (";", "|"))
    return Case(labels, ending, [{**row, "labels": [row["labels"]]} for row in rows])


@st.composite
def swapped_columns(draw: st.DrawFn) -> Case:
    labels = draw(truths())
    ending = draw(st.sampled_from(["csv", "jsonl", "parquet"]))
    own = draw(st.sampled_from([";", "|", ","]))
    lists = draw(st.booleans()) and ending != "csv"
    rows = [
        {"text": text(row, 12), "labels": each if lists else own.join(each)}
        for row, each in enumerate(labels)
    ]
    options: dict[str, Any] = {"text": ["labels"], "labels": "text"}
    if not lists or draw(st.booleans()):
        options["label_separator"] = draw(st.sampled_from([own, " "]))
    return Case(labels, ending, rows, options)


@st.composite
def tables_of_other_labels(draw: st.DrawFn) -> Case:
    numbers = draw(st.booleans())
    names = ["1", "2", "3", "4", "5"] if numbers else ["alpha", "beta", "gamma", "delta", "eps"]
    labels = draw(truths(names))
    assume(len({name for each in labels for name in each}) == len(names))
    changes: list[Callable[[str], str]] = [
        lambda name: f"<{name}>",
        lambda name: f"http://ex.org/{name}",
        str.upper if not numbers else (lambda name: str(int(name) - 1)),
        (lambda name: f"{name}0{name}") if numbers else (lambda name: f"{name} "[::-1].strip()),
    ]
    change = draw(st.sampled_from(changes))
    rows = [{"text": text(row, 9), "labels": each} for row, each in enumerate(labels)]
    table = [{"label": change(name), "text": f"about {name}"} for name in names]
    if draw(st.booleans()):
        table = [{"label": row["text"], "text": row["label"]} for row in table]
    assume({row["label"] for row in table} != set(names))
    return Case([], "jsonl", rows, {}, table)


KINDS: dict[str, st.SearchStrategy[Case]] = {
    "vectors": vectors(),
    "stringified": stringified(),
    "wrong separator": wrong_separators(),
    "swapped columns": swapped_columns(),
    "table of other labels": tables_of_other_labels(),
}


def outcome(case: Case, folder: Path) -> str:
    """Import the case in `folder`: "right", "refused", "warned", or "misread" in silence."""
    path, options = case.write(folder), dict(case.options)
    if case.table is not None:
        options["label_table"] = str(folder / "table.csv")
    got = imported(folder, path, 2, **options)
    if got.error:
        return "refused"
    if got.warnings:
        return "warned"
    truth = {str(row): sorted(set(labels)) for row, labels in enumerate(case.truth)}
    return "right" if got.labels == truth else "misread"
