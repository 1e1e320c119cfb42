"""Labels are cut at a probability and chosen by name; what a model can't do is one clear error."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.small_models import LABELS
from xmcpipe.calibration.maps import FrequencyMaps, Sigmoid
from xmcpipe.calibration.saved import Calibration
from xmcpipe.calibration.thresholds import Threshold
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.bundle import Bundle
from xmcpipe.inference.choice import choose, nearest_names
from xmcpipe.inference.probability import Cut, Probabilities, cut_at, probabilities
from xmcpipe.inference.selection import Selection, Wanted

TEXTS = ["word1 word2", "", "word3 word4 word9"]


def calibration(slope: float = 0.5) -> Calibration:
    places = (np.arange(LABELS) % 2).astype(np.int8)
    thresholds = np.linspace(0, 1, LABELS, dtype=np.float32)
    maps = FrequencyMaps((3, 0), (Sigmoid(slope), Sigmoid(1.0, -1.0)))
    return Calibration(maps, places, Threshold(0.4, 0.5), thresholds, {"candidates": 20})


@pytest.fixture
def calibrated(model_folder: Path, tmp_path: Path) -> Bundle:
    calibration().write(tmp_path)
    return Bundle.load(model_folder, calibration=tmp_path)


def test_a_bundle_has_the_probabilities_of_its_calibration(bundle: Bundle, calibrated: Bundle) -> None:
    assert not bundle.has_probabilities  # it was trained with no loss that is known
    plain, found = (each.top(TEXTS, Selection(LABELS), 2) for each in (bundle, calibrated))
    assert plain.probabilities is None
    np.testing.assert_array_equal(plain.labels, found.labels)
    assert found.probabilities is not None
    odd, scores = found.labels % 2 == 1, found.scores.astype(np.float64)
    expected = 1 / (1 + np.exp(-np.where(odd, scores - 1, 0.5 * scores)))
    present = found.labels >= 0
    np.testing.assert_allclose(found.probabilities[present], expected[present], rtol=1e-5)


def test_a_cut_leaves_out_what_is_less_probable(calibrated: Bundle) -> None:
    whole = calibrated.top(TEXTS, Selection(LABELS), 2)
    assert whole.probabilities is not None
    half = float(np.median(whole.probabilities[0]))
    for threshold, least in ((half, half), ("f1", 0.4), ("macro-f1", None)):
        selection = calibrated.select(Wanted(LABELS, threshold), "it")
        found = calibrated.top(TEXTS, selection, 2)
        limits = np.linspace(0, 1, LABELS, dtype=np.float32)[whole.labels] if least is None else least
        kept = (whole.labels >= 0) & (whole.probabilities >= limits)
        assert kept.any()
        np.testing.assert_array_equal(found.labels, np.where(kept, whole.labels, -1))
        first = next(calibrated.predict(TEXTS, selection))
        assert [each.label for each in first] == [f"label {label}" for label in whole.labels[0][kept[0]]]
        np.testing.assert_allclose(
            [each.probability or 0.0 for each in first], whole.probabilities[0][kept[0]]
        )


def test_what_favours_rare_labels_is_no_part_of_a_probability() -> None:
    added, labels = torch.linspace(0, 3, LABELS), np.array([[4, 7, -1]], np.int32)
    scores = np.array([[0.5, -2.0, 0.0]], np.float32)
    moved = (scores + added.numpy()[labels]).astype(np.float32)
    for made in (None, calibration()):
        expected, found = Probabilities(made).of(labels, scores), Probabilities(made, added).of(labels, moved)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_a_calibration_only_bce_has_probabilities() -> None:
    loss = {"recipe": {"train": {"loss": "squared_hinge"}}}
    assert probabilities(loss, None, None) is None
    assert probabilities(loss, None, calibration()) is not None
    assert probabilities({"recipe": {"train": {"loss": "bce"}}}, None, None) == Probabilities()


@pytest.mark.parametrize(
    ("threshold", "found", "message"),
    [
        (0.5, None, "it has no probabilities"),
        ("f1", Probabilities(), "expected a calibration of it"),
        ("f2", Probabilities(), "f1 or macro-f1, got 'f2'"),
        (1.5, Probabilities(), "a probability, got 1.5"),
        (float("nan"), Probabilities(), "a probability, got nan"),
    ],
)
def test_a_threshold_that_the_model_cannot_have_is_an_error(threshold: Any, found: Any, message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        cut_at(threshold, found, "it")


def test_a_cut_keeps_a_label_at_its_threshold() -> None:
    labels, values = np.array([[3, 1, -1]], np.int32), np.array([[0.5, 0.49, 0.9]], np.float32)
    np.testing.assert_array_equal(Cut(0.5).apply(labels, values), [[3, -1, -1]])
    np.testing.assert_array_equal(Cut(np.full(4, 0.49, np.float32)).apply(labels, values), [[3, 1, -1]])


def test_an_unknown_label_is_an_error_with_the_nearest_names() -> None:
    names = ["Editors", "edible plants", "spelling", "Zürich"]
    labels = pa.table({"label": names, "text": [None, "parsley and mint", None, None]})
    assert choose(labels) is None
    for wanted, hint in (
        (["editor"], "did you mean 'Editors'"),
        (["SPELLING"], "did you mean 'spelling'"),
        (["zurich"], "did you mean 'Zürich'"),
        (["parsley and mint"], r"did you mean 'edible plants' \(parsley and mint\)"),
        (["qqq", "rrr"], "labels.parquet has all names"),
    ):
        with pytest.raises(XmcpipeError, match=hint):
            choose(labels, deny=wanted)
    with pytest.raises(XmcpipeError, match=r"in allow, got 'qqq' and 1 more"):
        choose(labels, allow=["spelling", "qqq", "rrr"])
    with pytest.raises(XmcpipeError, match="leave no label"):
        choose(labels, allow=["spelling"], deny=["spelling"])


def test_the_nearest_of_very_many_names_are_found_too() -> None:
    names = pa.chunked_array(
        [[f"name {number}" for number in range(120_000)] + ["Chrysanthemum", "garden of herbs"]]
    )
    assert nearest_names("crysantemum", names)[:1] == ["Chrysanthemum"]
    assert nearest_names("hrysanthemum", names) == []  # begins with another letter
    assert nearest_names("", names) == []
