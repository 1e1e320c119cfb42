"""Pairs to exclude that exclude nothing, because their labels or documents are of other files."""

import re
import warnings as python_warnings
from pathlib import Path
from typing import Any

import pytest

from tests.unit.evaluation_world import QUICK, many, write_rows
from xmcpipe.errors import XmcpipeError
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.metrics import MisreadWarning, evaluate
from xmcpipe.stages.evaluate import evaluate_files

TRUTH = many(lambda row: [f"topic {row % 8}", "Politics"][: 1 + row % 2])
PREDICTED = many(lambda row: ["Politics", f"topic {row % 8}", f"topic {row % 7}x"])


def with_ids(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": f"d{at}", **row} for at, row in enumerate(rows)]


def told(tmp_path: Path, pairs: list[dict[str, Any]], ids: bool = True, name: str = "f.jsonl") -> list[str]:
    """The warnings of `eval` with these pairs."""
    truth, predicted = (with_ids(TRUTH), with_ids(PREDICTED)) if ids else (TRUTH, PREDICTED)
    files = write_rows(tmp_path / "p.jsonl", predicted), write_rows(tmp_path / "t.jsonl", truth)
    given = EvalInputs([files[0]], files[1], filter=write_rows(tmp_path / name, pairs))
    found: list[str] = evaluate_files(given, QUICK)["warnings"]
    return found


def told_in_python(exclude: list[list[Any]]) -> list[str]:
    lists = [[row["labels"] for row in rows] for rows in (PREDICTED, TRUTH)]
    with python_warnings.catch_warnings(record=True) as found:
        python_warnings.simplefilter("always")
        evaluate(*lists, k=(1, 2), exclude=[*exclude, *([[]] * (len(TRUTH) - len(exclude)))])
    assert all(each.category is MisreadWarning for each in found)
    return [str(each.message) for each in found]


def test_pairs_of_unknown_labels_are_refused(tmp_path: Path) -> None:
    pairs = [{"id": "d0", "labels": ["zebra"]}, {"id": "d1", "labels": ["apple", "zebra"]}]
    message = (
        "none of the 2 labels of {} is in truth, training or the best predictions: {} has 'apple', 'zebra'"
    )
    with pytest.raises(XmcpipeError, match=re.escape(message.format(*2 * [tmp_path / "f.jsonl"]))) as error:
        told(tmp_path, pairs)
    assert "t.jsonl has 'Politics', 'topic 0', 'topic 1' (use one vocabulary for all; if" in str(error.value)
    with pytest.raises(XmcpipeError, match=re.escape(message.format("exclude", "exclude"))):
        told_in_python([["zebra"], ["apple", "zebra"]])
    with pytest.raises(XmcpipeError, match="none of the 1 labels of exclude"):
        evaluate([[1, 2], [2]], [[1], [2]], k=(1,), exclude=[[7], []])


def test_unknown_labels_among_others_are_counted(tmp_path: Path) -> None:
    said = "1 of 3 labels of {} are in neither truth, training nor the best predictions, such as 'zebra'"
    labels = [["zebra", "topic 3"], ["topic 1x"]]
    (warning,) = told(tmp_path, [{"id": f"d{at}", "labels": row} for at, row in enumerate(labels)])
    assert said.format(tmp_path / "f.jsonl") in warning
    (warning,) = told_in_python(labels)
    assert said.format("exclude") in warning


def test_training_labels_and_a_stated_number_of_labels_make_labels_known(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "r.jsonl", [*TRUTH, {"labels": ["zebra"]}])
    files = [write_rows(tmp_path / "p.jsonl", PREDICTED), write_rows(tmp_path / "t.jsonl", TRUTH)]
    pairs = write_rows(tmp_path / "f.jsonl", [{"labels": ["zebra"]}, *([{"labels": []}] * (len(TRUTH) - 1))])
    given = EvalInputs(files[:1], files[1], train, pairs)
    assert not [each for each in evaluate_files(given, QUICK)["warnings"] if "f.jsonl" in each]
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("error")
        evaluate([[1, 2], [2]], [[1], [2]], k=(1,), exclude=[[7], []], num_labels=9)


def test_pairs_of_other_documents(tmp_path: Path) -> None:
    pairs = [{"id": each, "labels": ["topic 1"]} for each in ("x", "y")]
    message = r"none of the 2 documents of .*f.jsonl is in .*t.jsonl: such as 'x'; .* has 'd0' \(give pairs"
    with pytest.raises(XmcpipeError, match=message):
        told(tmp_path, pairs)
    pairs[0]["id"] = "d1"
    (warning,) = told(tmp_path, pairs)
    assert "1 of 2 documents of" in warning
    assert warning.endswith("t.jsonl, such as 'y': their pairs exclude nothing")
    figures = []
    for path in (write_rows(tmp_path / "one.jsonl", pairs[:1]), tmp_path / "f.jsonl"):
        given = EvalInputs([tmp_path / "p.jsonl"], tmp_path / "t.jsonl", filter=path)
        metrics = evaluate_files(given, QUICK)
        figures.append((metrics["model"], metrics["filter"]))
    assert figures[0] == figures[1]
    assert figures[0][1] == {"pairs": 1, "true": 1}


@pytest.mark.parametrize("ids", [["x", "y"], ["3", "7"]])
def test_ids_that_the_truth_has_not_are_refused(tmp_path: Path, ids: list[str]) -> None:
    """They were joined by row number: the pairs of document 3 were excluded from document 0."""
    pairs = [{"id": each, "labels": ["topic 1"]} for each in ids]
    with pytest.raises(
        XmcpipeError, match=rf"has ids, such as '{ids[0]}', and .* has none: their 2 and 60 rows"
    ):
        told(tmp_path, pairs, ids=False)


def test_how_rows_of_pairs_are_joined_is_told(tmp_path: Path) -> None:
    few = [{"labels": ["topic 1"]}, {"labels": ["topic 2"]}]
    (warning,) = told(tmp_path, few)
    assert "f.jsonl has no ids: its 2 rows are taken to be the first of" in warning
    (warning,) = told(tmp_path, [*few, *([{"labels": []}] * (len(TRUTH) - 2))])
    assert "t.jsonl has ids, such as 'd0', and" in warning
    assert told(tmp_path, few, ids=False) == []
    numbered = [{"id": at, **row} for at, row in enumerate(few)]
    assert told(tmp_path, numbered, ids=False) == []


def test_lines_of_row_and_label_need_no_word(tmp_path: Path) -> None:
    (tmp_path / "f.txt").write_text("0 3\n7 2\n")
    rows = [{"id": f"d{at}", "labels": [at % 5]} for at in range(60)]
    files = [write_rows(tmp_path / f"{name}.jsonl", rows) for name in "pt"]
    given = EvalInputs(files[:1], files[1], filter=tmp_path / "f.txt")
    assert not [each for each in evaluate_files(given, QUICK)["warnings"] if "f.txt" in each]


def test_a_file_without_pairs_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, [{"id": "d0", "labels": []}]) == [
        f"{tmp_path / 'f.jsonl'} has no pairs: nothing is excluded"
    ]


SPELLINGS = {
    "case": ("Politics", "politics"),
    "blanks": ("New York", "New  York "),
    "no-break space": ("New York", "New\u00a0York"),
    "decomposed": ("Caf\u00e9", "Cafe\u0301"),
    "full width": ("A1", "\uff21\uff11"),
    "invisible": ("Paris", "Par\u200bis"),
}


@pytest.mark.parametrize("kind", SPELLINGS)
@pytest.mark.parametrize("role", ["predictions", "truth", "exclude"])
def test_python_tells_the_spellings_that_files_have(tmp_path: Path, kind: str, role: str) -> None:
    """The same sentence for files and lists, whichever of them has the other spelling."""
    name, other = SPELLINGS[kind]

    def row(at: int, part: str) -> list[str]:
        labels = ["a", name][at % 2 :]
        return [other if each == name and at == 1 and part == role else each for each in labels]

    parts = {part: [row(at, part) for at in range(60)] for part in ("predictions", "truth", "train")}
    pairs = [[], [other if role == "exclude" else name], *([[]] * 58), ["a"]][:60]
    pairs[3] = ["a"]
    files = {
        part: write_rows(tmp_path / f"{part}.jsonl", [{"labels": each} for each in rows])
        for part, rows in {**parts, "exclude": pairs}.items()
    }
    given = EvalInputs([files["predictions"]], files["truth"], files["train"], files["exclude"])
    of_files = [each for each in evaluate_files(given, QUICK)["warnings"] if "spelt otherwise" in each]
    with python_warnings.catch_warnings(record=True) as found:
        python_warnings.simplefilter("always")
        evaluate(parts["predictions"], parts["truth"], parts["train"], k=(1,), exclude=pairs)
    of_lists = [str(each.message) for each in found if "spelt otherwise" in str(each.message)]
    for part, path in files.items():
        of_files = [each.replace(str(path), part) for each in of_files]
    assert of_files == of_lists
    assert len(of_files) == 1
    assert of_files[0].startswith(f"{role}: 1 labels are spelt otherwise in ")
