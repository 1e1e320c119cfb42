"""Files exported for other systems have the same metrics as the artifacts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.versions import PREDICTIONS_VERSION, RAW_VERSION
from xmcpipe.data.filter_pairs import FilterPairs
from xmcpipe.data.predictions import PredictionsWriter
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.measuring.files import EvalInputs
from xmcpipe.stages.beside.export import Format, export
from xmcpipe.stages.evaluate import EvalConfig, evaluate_files

L, N = 12, 40
RANDOM = np.random.default_rng(0)
TRUTH = {
    split: [sorted(RANDOM.choice(L, RANDOM.integers(0, 4), replace=False).tolist()) for _ in range(N)]
    for split in ("train", "test")
}


@pytest.fixture
def artifacts(tmp_path: Path) -> tuple[Path, Path]:
    """Raw data with filter pairs, and predictions with ties."""
    raw, predictions = tmp_path / "raw", tmp_path / "predictions"
    vocabulary = pa.table([[f"label {n}" for n in range(L)], pa.nulls(L, pa.string())], schema=LABELS)
    for folder, kind, version in (
        (raw, "raw", RAW_VERSION),
        (predictions, "predictions", PREDICTIONS_VERSION),
    ):
        folder.mkdir()
        pq.write_table(vocabulary, folder / "labels.parquet")
        Manifest("made", kind, version, "0" * 64, {}, {}, {}, {}, {}).write(folder)
    for split, truth in TRUTH.items():
        split_rows = [{"id": f"{split}{n}", "text": f"t{n}", "labels": each} for n, each in enumerate(truth)]
        pq.write_table(pa.Table.from_pylist(split_rows, RAW_DOCUMENTS), raw / f"{split}.parquet")
    rows, labels = np.nonzero(RANDOM.random((N, L)) < 0.1)
    FilterPairs.of(rows, labels, L).write(raw, "test")
    with PredictionsWriter(predictions / "predictions.parquet") as table:
        scores = np.sort(RANDOM.integers(-8, 8, (N, 8)) / 4)[:, ::-1].astype(np.float32)
        ranked = np.array([RANDOM.permutation(L)[:8] for _ in range(N)])
        table.write(pa.array([f"test{n}" for n in range(N)]), ranked, scores)
    return raw, predictions


@pytest.mark.parametrize("format_", ["pecos", "xc"])
def test_figures_are_those_of_the_artifacts(
    artifacts: tuple[Path, Path], tmp_path: Path, format_: Format
) -> None:
    raw, predictions = artifacts
    config = EvalConfig(rounds=0)
    expected = evaluate_files(EvalInputs([predictions], raw, raw), config)
    for folder in artifacts:
        export(folder, format_, tmp_path / f"{folder.name}-out")
    data, made = tmp_path / "raw-out", tmp_path / "predictions-out"
    names = {
        "pecos": ("P.tst.npz", "Y.tst.npz", "Y.trn.npz"),
        "xc": ("tst_predictions.txt", "tst_X_Y.txt", "trn_X_Y.txt"),
    }
    predicted, truth, train = names[format_]
    given = EvalInputs([made / predicted], data / truth, data / train, data / "filter_labels_test.txt")
    found = evaluate_files(given, config)
    assert expected["filter"]["pairs"] > 0
    for name in ("model", "popularity", "filter", "propensity", "labels"):
        assert found[name] == pytest.approx(expected[name]), name
    assert found["joined_by"] == "row number"
