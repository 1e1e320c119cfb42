"""A classifier that calibrates keeps its calibration wherever the model goes."""

import pickle
from pathlib import Path

import pytest

import xmcpipe
from tests.unit.api.conftest import Documents

CALIBRATE = {
    "calibrate.method": "platt",
    "calibrate.bins": 1,
    "calibrate.candidates": 5,
    "train.validation": 0.2,
}


@pytest.fixture(scope="module")
def calibrated(unfitted: xmcpipe.XMCClassifier, train: Documents) -> xmcpipe.XMCClassifier:
    from sklearn.base import clone

    fitted: xmcpipe.XMCClassifier = clone(unfitted).set_params(settings=CALIBRATE)
    return fitted.fit(train.texts, train.labels)


def test_few_documents_are_not_calibrated_unless_asked_for(
    fitted: xmcpipe.XMCClassifier, calibrated: xmcpipe.XMCClassifier
) -> None:
    assert not fitted.model_.is_calibrated
    assert calibrated.model_.is_calibrated


@pytest.mark.parametrize("place", ["saved", "pickled", "copied"])
def test_a_copy_has_the_same_probabilities(
    calibrated: xmcpipe.XMCClassifier, test: Documents, tmp_path: Path, place: str
) -> None:
    expected = calibrated.predict_proba(test.texts)
    model = calibrated.model_
    if place == "copied":
        model.save(tmp_path / "model")
        model = xmcpipe.load(tmp_path / "model", device="cpu")
    elif place == "saved":
        calibrated.save(tmp_path / "model")
        model = xmcpipe.XMCClassifier.load(tmp_path / "model").model_
    else:
        model = pickle.loads(pickle.dumps(calibrated)).model_
    assert model.is_calibrated
    columns = {name: column for column, name in enumerate(calibrated.classes_)}
    for row, found in enumerate(model.predict(test.texts, k=calibrated.k)):
        for each in found:
            assert each.probability == pytest.approx(expected[row, columns[each.label]], abs=1e-6)
    strict, plain = (model.predict(test.texts, k=6, threshold=each) for each in ("f1", 0.0))
    least = min(each.probability or 0.0 for row in strict for each in row)
    assert strict == [[each for each in row if (each.probability or 0.0) >= least] for row in plain]
    assert sum(map(len, strict)) < sum(map(len, plain))
