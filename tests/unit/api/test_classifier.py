"""`XMCClassifier` keeps scikit-learn's contracts, as far as they apply to texts."""

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer
from sklearn.utils import estimator_checks
from sklearn.utils.multiclass import type_of_target

import xmcpipe
from tests.unit.api.conftest import NAMES, Documents

# The checks of scikit-learn that give an estimator no numbers to fit. `check_estimator` itself skips all
# others for an estimator of texts: they fit matrices of numbers (check_fit2d_1sample, ...).
CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


@pytest.mark.parametrize("check", CHECKS)
def test_checks_of_scikit_learn(check: str) -> None:
    getattr(estimator_checks, check)("XMCClassifier", xmcpipe.XMCClassifier())


def test_scikit_learn_skips_the_checks_that_need_numbers() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = estimator_checks.check_estimator(xmcpipe.XMCClassifier(), on_fail="raise")
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert any("which requires input  of type" in str(each.message) for each in caught)


def test_it_predicts_a_matrix_with_the_columns_of_its_classes(
    fitted: xmcpipe.XMCClassifier, test: Documents
) -> None:
    assert is_classifier(fitted)
    assert fitted.classes_.tolist() == sorted(NAMES) == fitted.model_.labels
    found = fitted.predict(test.texts)
    assert sparse.issparse(found)
    assert (found.shape, found.dtype) == ((40, 6), np.dtype(np.int64))
    assert type_of_target(found) == "multilabel-indicator"
    truth = MultiLabelBinarizer(classes=sorted(NAMES)).fit_transform(test.labels)
    assert f1_score(truth, found, average="micro") > 0.7
    assert fitted.score(test.texts, test.labels) > 0.8
    assert fitted.score(test.texts, truth) == fitted.score(test.texts, test.labels)
    best = [row[0].label for row in fitted.model_.predict(test.texts, k=1)]
    hits = [name in names for name, names in zip(best, test.labels, strict=True)]
    assert fitted.score(np.array(test.texts, object), test.labels) == pytest.approx(np.mean(hits))


def test_probabilities_are_those_of_the_k_best(fitted: xmcpipe.XMCClassifier, test: Documents) -> None:
    found = fitted.predict_proba([*test.texts, " "])
    assert (found.shape, found.dtype) == ((41, 6), np.dtype(np.float32))
    assert np.diff(found.indptr).tolist() == [4] * 40 + [0]
    for row, predictions in enumerate(fitted.model_.predict(test.texts, k=4)):
        for each in predictions:
            assert found[row, fitted.classes_.tolist().index(each.label)] == np.float32(each.probability)
    above = (found[:40] > 0.5).astype(np.int64)
    assert (above != fitted.predict(test.texts)).nnz == 0


def test_a_threshold_replaces_the_score_above_zero(fitted: xmcpipe.XMCClassifier, test: Documents) -> None:
    strict = pickle.loads(pickle.dumps(fitted)).set_params(threshold=0.8)
    found, expected = strict.predict(test.texts), fitted.predict_proba(test.texts) >= 0.8
    assert (found != expected.astype(np.int64)).nnz == 0


def test_fitting_again_gives_the_same(
    unfitted: xmcpipe.XMCClassifier, train: Documents, test: Documents, fitted: xmcpipe.XMCClassifier
) -> None:
    """In a temporary store, from a matrix: its classes are column numbers."""
    binarizer = MultiLabelBinarizer(sparse_output=True)
    matrix = binarizer.fit_transform(train.labels)
    again = clone(unfitted).set_params(store=None).fit(np.array(train.texts, object), matrix)
    assert again.classes_.tolist() == list(range(6))
    assert again.model_.labels == ["0", "1", "2", "3", "4", "5"]
    assert (again.predict_proba(test.texts) != fitted.predict_proba(test.texts)).nnz == 0
    folder = again.model_.path
    assert folder.is_dir()
    del again
    assert not folder.exists()


def test_it_is_saved_and_loaded_in_a_new_process(
    fitted: xmcpipe.XMCClassifier, test: Documents, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "saved")
    with pytest.raises(xmcpipe.XmcpipeError, match="exists already"):
        fitted.save(str(tmp_path / "saved"))
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    program = (
        "import sys, xmcpipe; c = xmcpipe.XMCClassifier.load(sys.argv[1]); print(repr(c.k), *c.classes_, "
        "*c.predict_proba([sys.argv[2]]).data)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "saved"), test.texts[0]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = fitted.predict_proba(test.texts[:1]).data
    assert done.stdout.split() == ["4", *sorted(NAMES), *map(str, expected)]
    assert len(xmcpipe.load(tmp_path / "saved").labels) == 6
    with pytest.raises(xmcpipe.XmcpipeError, match="holds no saved classifier"):
        xmcpipe.XMCClassifier.load(tmp_path)


def test_a_pickle_contains_the_model(
    fitted: xmcpipe.XMCClassifier, unfitted: xmcpipe.XMCClassifier, test: Documents
) -> None:
    copied = pickle.loads(pickle.dumps(fitted))
    assert copied.model_.path != fitted.model_.path
    assert (copied.predict_proba(test.texts) != fitted.predict_proba(test.texts)).nnz == 0
    assert pickle.loads(pickle.dumps(unfitted)).get_params() == unfitted.get_params()


def test_pipeline_and_grid_search(unfitted: xmcpipe.XMCClassifier, train: Documents) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = Pipeline([("lower", lower), ("labels", unfitted)])
    still = {"train.epochs": 1, "train.head.lr": 1e-6, "train.head.word_lr": 1e-6}  # learns nothing
    grid = {"labels__settings": [still, {"train.epochs": 12}]}
    upper = [text.upper() for text in train.texts]
    search = GridSearchCV(pipeline, grid, cv=KFold(2), error_score="raise").fit(upper, train.labels)
    weak, strong = search.cv_results_["mean_test_score"]
    assert strong > max(weak, 0.8)
    assert search.best_params_ == {"labels__settings": {"train.epochs": 12}}
    assert search.predict(upper[:2]).shape == (2, 6)


def test_settings_replace_what_init_chooses(unfitted: xmcpipe.XMCClassifier, train: Documents) -> None:
    settings = {"train.loss": "squared_hinge", "train.epochs": 2, "train.head.bias": False}
    other = clone(unfitted).set_params(settings=settings).fit(train.texts, train.labels)
    assert other.predict(train.texts[:3]).shape == (3, 6)
    with pytest.raises(xmcpipe.XmcpipeError, match="was not trained with the loss bce"):
        other.predict_proba(train.texts[:3])


def test_the_encoder_is_trained_unless_it_is_frozen(
    unfitted: xmcpipe.XMCClassifier, train: Documents, fitted: xmcpipe.XMCClassifier
) -> None:
    settings = {"train.epochs": 1, "train.max_steps": 2}
    trained = clone(unfitted).set_params(frozen=False, settings=settings).fit(train.texts, train.labels)
    before, after = fitted.model_.encode(train.texts[0]), trained.model_.encode(train.texts[0])
    assert np.abs(before - after).max() > 1e-3


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("one text", [["a"]], "expected texts, a list of strings, got str"),
        (["a", None], [["a"], ["b"]], "got None in row 1"),
        (["a", "b"], [["a"]], "got 2 texts and 1 rows of labels"),
        (["a", "b"], ["x", "y"], "expected a list of labels for each text, got str in row 0"),
        (["a", "b"], [["x"], None], "expected a list of labels for each text, got None in row 1"),
        (["a", "b"], [["x"], [2]], "all strings or all integers, got both"),
        (["a", "b"], [["x"], [2.5]], "got 2.5 in row 1"),
        (["a", "b"], [[0, 1], [1, 1]], "got lists of 0 and 1 that may be either"),
        (["a", "b"], np.array([[0, 2], [1, 1]]), "expected only 0 and 1 in the matrix"),
        (["a", "b"], np.array([["x", "y"], ["z", "x"]]), "expected only 0 and 1 in the matrix"),
        (["a", "b"], np.array([[0.5, np.nan], [1, 1]]), "expected only 0 and 1 in the matrix"),
        (["a", "b"], [[], []], "got only texts without a label"),
        ([" ", "b"], [["x"], []], "got none that has both"),
        (["a", "b"], None, "expected labels, got NoneType"),
    ],
)
def test_bad_input_is_one_line(
    unfitted: xmcpipe.XMCClassifier, texts: Any, labels: Any, message: str
) -> None:
    with pytest.raises(xmcpipe.XmcpipeError, match=message):
        clone(unfitted).fit(texts, labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.epoch": 3}, r"train: there is no key 'epoch' .*epochs"),
        ({"trian.epochs": 3}, "there is no table or key 'trian'"),
        ({"epochs": 3}, r"expected a key STAGE\.KEY, got 'epochs'"),
        ({"train.epochs": "many"}, r"train\.epochs"),
        ({"import.train": "x.csv"}, r"not import\.train"),
    ],
)
def test_wrong_settings_are_one_line(
    unfitted: xmcpipe.XMCClassifier, train: Documents, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(xmcpipe.XmcpipeError, match=message):
        clone(unfitted).set_params(settings=settings).fit(train.texts, train.labels)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c, test: c.score(test.texts, np.ones((40, 5))), "a matrix of 6 labels, got one of 5"),
        (lambda c, test: c.score(test.texts, test.labels, [1] * 40), "score has no sample weights"),
        (lambda c, test: c.predict("a text"), "expected texts, a list of strings, got str"),
        (lambda c, test: c.fit(test.texts, test.labels, ["x"]), "expected label_texts, a dict"),
        (lambda c, test: c.fit(test.texts, test.labels, {"x": "y"}), "label_texts has no label"),
    ],
)  # fmt: skip
def test_bad_questions_are_one_line(
    fitted: xmcpipe.XMCClassifier, test: Documents, ask: Callable[[Any, Documents], Any], message: str
) -> None:
    with pytest.raises(xmcpipe.XmcpipeError, match=message):
        ask(fitted, test)


def test_labels_that_training_did_not_have_count_as_misses(fitted: xmcpipe.XMCClassifier) -> None:
    assert fitted.score(["word1"], [["a new label"]]) == 0.0


def test_an_unfitted_one_says_so(unfitted: xmcpipe.XMCClassifier) -> None:
    from sklearn.exceptions import NotFittedError

    for method in (unfitted.predict, unfitted.predict_proba):
        with pytest.raises(NotFittedError):
            method(["a"])
    with pytest.raises(NotFittedError):
        unfitted.save("model")
