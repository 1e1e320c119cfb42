"""The stage: what each system predicts, what it may read, and its errors."""

import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.baselines.raw_data import N_TEST, L, draw, write_raw
from xmcpipe.baselines import pecos
from xmcpipe.baselines.config import BaselineConfig, SystemName
from xmcpipe.baselines.systems import SYSTEMS
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.beside.baseline import BASELINE

LIBRARIES = ["omikuji", "napkinxc", "pecos"]


def predict(raw: Path, root: Path, **settings: Any) -> tuple[list[list[int]], list[list[float]], Any]:
    """Labels and scores of every test document, and the figures of the artifact."""
    out, scratch = root / f"out{len(list(root.iterdir()))}", root / "scratch"
    out.mkdir()
    scratch.mkdir(exist_ok=True)
    result = BASELINE.run(BaselineConfig(**settings), {"raw": raw}, out, scratch)
    table = pq.read_table(out / "predictions.parquet")
    assert table["id"].to_pylist() == pq.read_table(raw / "test.parquet")["id"].to_pylist()
    assert (out / "labels.parquet").read_bytes() == (raw / "labels.parquet").read_bytes()
    assert result.rows == {"predictions.parquet": len(table), "labels.parquet": L}
    return table["labels"].to_pylist(), table["scores"].to_pylist(), result.figures


def precision(predicted: list[list[int]]) -> float:
    truth = draw(N_TEST, 1)[1]
    return float(np.mean([row[0] in true for row, true in zip(predicted, truth, strict=True)]))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw")


def test_every_name_of_the_config_has_a_system() -> None:
    assert list(SYSTEMS) == list(get_args(SystemName))


def test_popularity_predicts_the_most_frequent_labels_for_all(tmp_path: Path) -> None:
    train = ["a"] * 5, [[3, 7], [7], [3, 7], [1, 7], [3, 5]]
    raw = write_raw(tmp_path / "raw", train)
    labels, scores, figures = predict(raw, tmp_path, system="popularity", k=5)
    # 7 occurs four times, 3 three times, and 1 and 5 once: the lower id comes first; no other occurs.
    assert labels == [[7, 3, 1, 5]] * N_TEST
    assert scores[0] == pytest.approx([0.8, 0.6, 0.2, 0.2])
    assert figures == {"system": "popularity", "documents": N_TEST, "k": 5, "filter_pairs": 0}


def test_filter_pairs_are_replaced_by_the_next_labels(tmp_path: Path) -> None:
    train = ["a"] * 4, [[0, 1], [0, 1], [0, 2], [0, 2, 3]]
    raw = write_raw(tmp_path / "raw", train, pairs=[(1, 0), (1, 2), (3, 1)])
    labels, _, figures = predict(raw, tmp_path, system="popularity", k=2)
    assert labels[:5] == [[0, 1], [1, 3], [0, 1], [0, 2], [0, 1]]
    assert figures["filter_pairs"] == 3


def test_linear_is_much_better_than_popularity(raw: Path, tmp_path: Path) -> None:
    popular, *_ = predict(raw, tmp_path, system="popularity")
    linear, scores, figures = predict(raw, tmp_path, system="linear")
    assert precision(linear) > 0.9 > 0.6 > precision(popular)
    assert all(row == sorted(row, reverse=True) for row in scores)
    assert figures["weights"] > figures["features"] > 20


@pytest.mark.parametrize("system", ["popularity", "linear"])
def test_no_label_of_the_test_split_is_read(tmp_path: Path, system: str) -> None:
    texts, labels = draw(N_TEST, 1)
    raws = [
        write_raw(tmp_path / name, test=(texts, rows))
        for name, rows in (("true", labels), ("false", [[0]] * N_TEST))
    ]
    first, second = (predict(raw, tmp_path, system=system) for raw in raws)
    assert first == second


def test_a_label_without_a_training_document_is_not_predicted(tmp_path: Path) -> None:
    texts, labels = draw(80, 0)
    raw = write_raw(tmp_path / "raw", (texts, [[label for label in row if label != 2] for row in labels]))
    predicted, *_ = predict(raw, tmp_path, system="linear", k=L)
    assert all(2 not in row and len(row) == L - 1 for row in predicted)


@pytest.mark.parametrize("system", LIBRARIES)
def test_the_label_trees_are_better_than_popularity(raw: Path, tmp_path: Path, system: str) -> None:
    try:
        SYSTEMS[system].require()
    except XmcpipeError as error:
        pytest.skip(str(error))
    labels, scores, _ = predict(raw, tmp_path, system=system, k=5)
    assert precision(labels) > 0.9
    assert all(len(set(row)) == 5 for row in labels)
    assert all(row == sorted(row, reverse=True) for row in scores)
    if system == "pecos":  # omikuji has no seed, and the liblinear of napkinXC neither
        assert predict(raw, tmp_path, system=system, k=5)[0] == labels


@pytest.mark.parametrize("system", LIBRARIES)
def test_a_missing_library_is_an_error_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setitem(sys.modules, system, None)
    with pytest.raises(XmcpipeError, match=f"{system}, which can't be imported.*pip install") as caught:
        SYSTEMS[system].require()
    assert "\n" not in str(caught.value)


def test_pecos_refuses_a_scipy_that_it_does_not_work_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pecos, "import_library", lambda name: None)
    monkeypatch.setattr("scipy.__version__", "1.17.1")
    with pytest.raises(XmcpipeError, match=r"SciPy below 1\.14, got 1\.17\.1"):
        pecos.require()
    monkeypatch.setattr("scipy.__version__", "1.13.1")
    pecos.require()


def test_errors_say_what_to_do(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"hours for 12 labels.*at most 5.*use --system omikuji"):
        predict(raw, tmp_path, system="linear", max_labels=5)
    with pytest.raises(XmcpipeError, match=r"at least 1000 training documents.*baseline\.min_df=1"):
        predict(raw, tmp_path, system="linear", min_df=1000)
    empty = write_raw(tmp_path / "empty", (["a b"] * 3, [[]] * 3))
    with pytest.raises(XmcpipeError, match="expected training documents with labels"):
        predict(empty, tmp_path, system="popularity")
    for wrong in ({"k": 0}, {"c": 0.0}, {"min_df": 0}, {"negatives": -1}):
        with pytest.raises(ValueError, match="expected"):
            BaselineConfig(**wrong)
