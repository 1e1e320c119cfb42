"""The policies, case by case and against a definition in plain Python, down to the written files."""

from collections import Counter
from collections.abc import Iterable
from hashlib import md5
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmcpipe.data.raw.documents import DocumentSet
from xmcpipe.data.raw.policies import Policies
from xmcpipe.data.raw.prepare import split_by_hash
from xmcpipe.data.raw.writing import write_raw
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.errors import XmcpipeError

Document = tuple[str, str, list[str]]
SCHEMA: dict[str, Any] = {"id": pl.String, "text": pl.String, "labels": pl.List(pl.String)}
KEEP_ALL = Policies(empty_text="keep", no_labels="keep", repeated="keep", leaked="keep", unseen="keep")
TRAIN: list[Document] = [
    ("a", "one", ["x", "y"]),
    ("b", "two", ["x"]),
    ("c", "  TWO ", ["y", "y"]),
    ("d", " ", ["x"]),
    ("e", "five", []),
    ("f", "shared", ["rare"]),
]
TEST: list[Document] = [("t", "Shared", ["x", "new"]), ("u", "six", ["new"]), ("v", "seven", ["y"])]


def batches(documents: list[Document], rows: int = 2) -> Iterable[pl.DataFrame]:
    for first in range(0, len(documents), rows):
        yield pl.DataFrame(documents[first : first + rows], schema=SCHEMA, orient="row")


def prepare(
    folder: Path, policies: Policies, labels: pl.DataFrame | None = None, **splits: list[Document]
) -> tuple[dict[str, Any], dict[str, list[Document]], list[str]]:
    """The figures, the written documents with the names of their labels, and the vocabulary."""
    documents = DocumentSet({split: batches(rows) for split, rows in splits.items()}, labels)
    figures, rows = write_raw(documents, policies, folder, folder)
    assert not (folder / "texts.parquet").exists()
    names = pyarrow.parquet.read_table(folder / "labels.parquet", schema=LABELS)["label"].to_pylist()
    written = {}
    for split in ("train", "test"):
        table = pyarrow.parquet.read_table(folder / f"{split}.parquet")
        assert table.schema.equals(RAW_DOCUMENTS)
        assert len(table) == rows[f"{split}.parquet"] == figures[split]
        assert all(ids == sorted(set(ids)) for ids in table["labels"].to_pylist())
        columns = (table["id"].to_pylist(), table["text"].to_pylist(), table["labels"].to_pylist())
        written[split] = [
            (i, text, [names[label] for label in ids]) for i, text, ids in zip(*columns, strict=True)
        ]
    assert len(names) == rows["labels.parquet"] == figures["labels"]
    return figures, written, names


def ids(documents: list[Document]) -> str:
    return "".join(document[0] for document in documents)


def test_keep_keeps_and_counts(tmp_path: Path) -> None:
    figures, written, names = prepare(tmp_path, KEEP_ALL, train=TRAIN, test=TEST)
    assert (ids(written["train"]), ids(written["test"])) == ("abcdef", "tuv")
    assert names == ["new", "rare", "x", "y"]
    assert written["train"][2] == ("c", "  TWO ", ["y"])
    expected = {
        "documents_given": 9,
        "documents_dropped": 0,
        "empty_texts": 1,
        "no_labels": 1,
        "repeated_texts": 1,
        "leaked_texts": 1,
        "unseen_labels": 1,
        "repeated_labels": 1,
        "rare_labels": 0,
    }
    assert {key: figures[key] for key in expected} == expected
    assert figures["labels_a_document"] == pytest.approx(6 / 6)


@pytest.mark.parametrize(
    ("policy", "train", "test"),
    [
        ("empty_text", "abcef", "tuv"),
        ("no_labels", "abcdf", "tuv"),
        ("repeated", "abdef", "tuv"),
        ("leaked", "abcde", "tuv"),
        ("unseen", "abcdef", "tuv"),
    ],
)
def test_each_policy_alone(tmp_path: Path, policy: str, train: str, test: str) -> None:
    values = {**vars(KEEP_ALL), policy: "drop"}
    _, written, names = prepare(tmp_path, Policies(**values), train=TRAIN, test=TEST)
    assert (ids(written["train"]), ids(written["test"])) == (train, test)
    assert ("new" in names) == (policy != "unseen")
    with pytest.raises(XmcpipeError, match=f"^1 .*to go on, set {policy} = 'keep' or 'drop'"):
        prepare(tmp_path, Policies(**{**values, policy: "refuse"}), train=TRAIN, test=TEST)


def test_a_document_that_loses_all_labels_is_dropped_unless_kept(tmp_path: Path) -> None:
    values = {**vars(KEEP_ALL), "unseen": "drop"}
    _, written, _ = prepare(tmp_path, Policies(**{**values, "no_labels": "drop"}), train=TRAIN, test=TEST)
    assert written["test"] == [("t", "Shared", ["x"]), ("v", "seven", ["y"])]
    _, written, _ = prepare(tmp_path, Policies(**values), train=TRAIN, test=TEST)
    assert written["test"][1] == ("u", "six", [])


def test_rare_labels_are_dropped_from_both_splits(tmp_path: Path) -> None:
    values = {**vars(KEEP_ALL), "min_label_count": 2, "no_labels": "refuse"}
    with pytest.raises(XmcpipeError, match="1 documents have no label, such as id 'e'"):
        prepare(tmp_path, Policies(**values), train=TRAIN, test=TEST)
    without = [document for document in TRAIN if document[2]]
    figures, written, names = prepare(tmp_path, Policies(**values), train=without, test=TEST)
    assert names == ["x", "y"]
    assert (ids(written["train"]), ids(written["test"])) == ("abcd", "tv")
    assert (figures["rare_labels"], figures["unseen_labels"], figures["emptied_documents"]) == (1, 1, 2)


def test_exact_texts_differ_in_case(tmp_path: Path) -> None:
    policies = Policies(**{**vars(KEEP_ALL), "repeated": "drop", "leaked": "drop", "same_text": "exact"})
    _, written, _ = prepare(tmp_path, policies, train=TRAIN, test=TEST)
    assert ids(written["train"]) == "abcdef"


def test_one_table_is_split_by_md5_after_repeats_are_dropped(tmp_path: Path) -> None:
    documents = [(str(number), f"text {number % 40}", ["x"]) for number in range(60)]
    figures, written, _ = prepare(tmp_path, Policies(test_every=4), all=documents)
    in_test = {number for number in range(40) if int(md5(str(number).encode()).hexdigest(), 16) % 4 == 0}
    assert {int(document[0]) for document in written["test"]} == in_test
    assert {int(document[0]) for document in written["train"]} == set(range(40)) - in_test
    assert figures["repeated_texts"] == 20


def test_split_by_hash_is_the_documented_one() -> None:
    names = [*(str(number) for number in range(300)), "ä"]
    expected = [int(md5(name.encode()).hexdigest(), 16) % 10 == 0 for name in names]
    assert split_by_hash(pl.Series(names), 10).tolist() == expected


def test_faults_of_the_whole_input(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"none of the 2 documents has a label .check the labels column"):
        prepare(tmp_path, KEEP_ALL, train=[("a", "x", [])], test=[("b", "y", [])])
    with pytest.raises(XmcpipeError, match="none of the 2 documents is left as a test document with a label"):
        prepare(tmp_path, KEEP_ALL, train=[("a", "x", ["1"])], test=[("b", "y", [])])
    with pytest.raises(XmcpipeError, match="expected distinct ids, got 1 in several rows, such as 'a'"):
        prepare(tmp_path, KEEP_ALL, train=[("a", "x", ["1"]), ("a", "y", ["1"])], test=TEST)


def test_the_same_id_in_both_splits_is_no_fault(tmp_path: Path) -> None:
    _, written, _ = prepare(tmp_path, KEEP_ALL, train=[("a", "x", ["1"])], test=[("a", "y", ["1"])])
    assert (ids(written["train"]), ids(written["test"])) == ("a", "a")


def test_unused_labels_of_the_table_stay_only_with_the_option(tmp_path: Path) -> None:
    table = pl.DataFrame({"label": ["unused", "y", "x"], "text": ["U", None, "X"]})
    _, written, names = prepare(tmp_path, KEEP_ALL, table, train=TRAIN, test=TEST)
    assert names == ["y", "x", "new", "rare"]
    policies = Policies(**{**vars(KEEP_ALL), "min_label_count": 0})
    figures, unused_kept, names = prepare(tmp_path, policies, table, train=TRAIN, test=TEST)
    assert names == ["unused", "y", "x", "new", "rare"]
    assert [(i, t, sorted(labels)) for i, t, labels in unused_kept["train"]] == [
        (i, t, sorted(labels)) for i, t, labels in written["train"]
    ]
    assert figures["labels_without_text"] == 3


def by_definition(
    train: list[Document], test: list[Document], policies: Policies
) -> tuple[list[Document], list[Document]]:
    """The rules of Policies in plain Python, for two tables and the options keep and drop."""

    def key(document: Document) -> str:
        return " ".join(document[1].lower().split())

    splits = []
    for documents in (train, test):
        if policies.empty_text == "drop":
            documents = [document for document in documents if key(document)]
        if policies.no_labels == "drop":
            documents = [document for document in documents if document[2]]
        if policies.repeated == "drop":
            firsts: dict[str, Document] = {}
            for document in documents:
                firsts.setdefault(key(document) or document[0] + "?", document)
            documents = list(firsts.values())
        splits.append(documents)
    train, test = splits
    if policies.leaked == "drop":
        tested = {key(document) for document in test} - {""}
        train = [document for document in train if key(document) not in tested]
    counts = Counter(label for document in train for label in set(document[2]))
    least = policies.min_label_count
    if policies.unseen == "drop":
        least = max(least, 1)
    elif least == 1:
        least = 0
    results = []
    for documents in (train, test):
        documents = [
            (i, text, sorted({label for label in labels if counts[label] >= least}))
            for i, text, labels in documents
        ]
        if policies.no_labels == "drop":
            documents = [document for document in documents if document[2]]
        results.append(documents)
    return results[0], results[1]


option = st.sampled_from(["keep", "drop"])
some_policies = st.builds(
    Policies,
    empty_text=option,
    no_labels=option,
    repeated=option,
    leaked=option,
    unseen=option,
    min_label_count=st.sampled_from([1, 2, 3]),
)
some_texts = st.sampled_from(["", " ", "a", "A", "a b", "A  b", "c", "d", "e", "f"])
some_labels = st.lists(st.sampled_from("pqrstu"), max_size=4)
some_documents = st.lists(st.tuples(some_texts, some_labels), min_size=1, max_size=14).map(
    lambda rows: [(f"{number:02}", text, labels) for number, (text, labels) in enumerate(rows)]
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=some_documents, test=some_documents, policies=some_policies)
def test_against_the_definition(
    tmp_path: Path, train: list[Document], test: list[Document], policies: Policies
) -> None:
    expected = by_definition(train, test, policies)
    if not all(any(document[2] for document in documents) for documents in expected):
        with pytest.raises(XmcpipeError, match=r"has a label|is left"):
            prepare(tmp_path, policies, train=train, test=test)
        return
    _, written, names = prepare(tmp_path, policies, train=train, test=test)
    assert (written["train"], written["test"]) == expected
    assert names == sorted(
        {label for documents in expected for document in documents for label in document[2]}
    )
