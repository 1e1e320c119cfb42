"""`XMCClassifier`: training and prediction with the methods of scikit-learn. N texts, L labels."""

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from xmcpipe.api.chains import ModelFolders
from xmcpipe.api.fitting import Wishes, train_model
from xmcpipe.api.label_sets import label_sets, truth_of
from xmcpipe.api.model import Model, Threshold, load
from xmcpipe.api.saving import copy_model
from xmcpipe.api.texts import text_list
from xmcpipe.calibration.files import FILES
from xmcpipe.draft.recipe import ENCODER
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import parse_json
from xmcpipe.metrics import evaluate

FACTS = "classifier.json"  # beside the files of the model: parameters and classes


class XMCClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-label classifier of texts, with the interface of scikit-learn.

    `fit` runs the stages of a recipe, the one that `xmcpipe init` would write for the texts, and so chooses
    what the parameters don't name. Labels are lists of names (or integers), or a 0/1 matrix [N, L].

    encoder     text encoder: a hub id, a folder or package:NAME
    frozen      train the output layer alone: minutes on a laptop, and somewhat less accurate
    k           number of labels that predict and predict_proba consider for a text
    threshold   smallest probability of a predicted label, or "f1" or "macro-f1": the thresholds with the
                largest F1 on documents set aside; None predicts labels with a score above 0
    device      "auto", "cpu", "cuda", ...
    seed        seed of the training
    settings    keys of a recipe and their values, such as {"train.epochs": 3, "train.head.lr": 0.01}; they
                replace what `xmcpipe init` would choose
    store       folder for the artifacts of all stages, which later fits reuse; by default a temporary one

    After `fit`: `classes_` [L], the labels in the order of the columns, and `model_`, the `xmcpipe.Model`,
    which predicts with names, scores and probabilities.

    Pipeline, GridSearchCV, cross_val_score, clone and pickle work. With an integer for `cv`, scikit-learn
    refuses lists of names: use a matrix (sklearn.preprocessing.MultiLabelBinarizer), or a KFold for `cv`.
    scikit-learn's checks of fitted estimators give numbers, not texts, so they don't apply.
    """

    def __init__(
        self,
        *,
        encoder: str = ENCODER,
        frozen: bool = False,
        k: int = 10,
        threshold: Threshold | None = None,
        device: str = "auto",
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        store: str | PathLike[str] | None = None,
    ) -> None:
        self.encoder = encoder
        self.frozen = frozen
        self.k = k
        self.threshold = threshold
        self.device = device
        self.seed = seed
        self.settings = settings
        self.store = store

    def fit(
        self, texts: Iterable[str], labels: Any, label_texts: Mapping[Any, str] | None = None
    ) -> "XMCClassifier":
        """Train on N texts and their labels: a list of labels for each, or a 0/1 matrix [N, L].

        `label_texts` maps labels (columns, for a matrix) to descriptions, which predictions show. Blank texts
        and texts without a label are left out. Raises XmcpipeError for other inputs and invalid settings.
        """
        given, sets = text_list(texts), label_sets(labels)
        if len(given) != sets.matrix.shape[0]:
            raise XmcpipeError(
                f"expected labels for each text, got {len(given):,} texts and {sets.matrix.shape[0]:,} rows "
                "of labels",
                "give as many of both",
            )
        described = _in_order(label_texts, sets.classes.tolist())
        wishes = Wishes(str(self.encoder), self.frozen, self.device, self.seed, self.settings or {})
        if self.store is not None:
            folders = train_model(given, sets, described, wishes, Path(self.store))
        else:
            path = self._own_folder() / "model"
            with tempfile.TemporaryDirectory(prefix="xmcpipe-store-") as store:
                copy_model(train_model(given, sets, described, wishes, Path(store)), path, {})
            folders = ModelFolders(path)
        self.classes_ = sets.classes
        self.model_ = load(folders.model, device=self.device, calibration=folders.calibration)
        return self

    def predict(self, texts: Iterable[str]) -> Any:
        """The labels of N texts: CSR int64 [N, L] of 0 and 1, columns as in `classes_`.

        These are the labels among the k best with a probability of at least `threshold`, or, if it is None,
        with a score above 0.
        """
        kept = self._predictions(texts, self.threshold)
        if self.threshold is None:
            kept = [[each for each in row if each.score > 0] for row in kept]
        return self._matrix(kept, [[1] * len(row) for row in kept], np.int64)

    def predict_proba(self, texts: Iterable[str]) -> Any:
        """The probabilities of the k best labels of N texts: CSR float32 [N, L], columns as in `classes_`.

        A label that isn't stored is not among the k best. Raises XmcpipeError for a model without
        probabilities: one that was neither calibrated nor trained with the loss bce.
        """
        found = self._predictions(texts, threshold=0.0)
        return self._matrix(found, [[each.probability for each in row] for row in found], np.float32)

    def score(self, texts: Iterable[str], labels: Any, sample_weight: None = None) -> float:
        """P@1, from 0 to 1: the share of texts whose best label is one of their labels.

        The accuracy that scikit-learn's classifiers return here, all labels right and no other, says little
        with many labels. `sample_weight` must be None.
        """
        if sample_weight is not None:
            raise XmcpipeError("score has no sample weights, got sample_weight", "omit it")
        check_is_fitted(self)
        truth = truth_of(labels, self.classes_)
        column = self._columns()
        best = self._predictions(texts, None)
        ranking_N1 = np.array([[column[row[0].label]] if row else [-1] for row in best], np.int64)
        return float(evaluate(ranking_N1.reshape(-1, 1), truth, k=(1,)).figures["P@1"])

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted classifier to the new folder `path`. Raises XmcpipeError if it exists.

        `xmcpipe.load` and `xmcpipe predict --model` read the folder too.
        """
        check_is_fitted(self)
        names = self.classes_.tolist()
        facts = {"parameters": {**self.get_params(), "store": None}, "classes": names}
        copy_model(self.model_.folders, Path(path), {FACTS: json.dumps(facts, ensure_ascii=False) + "\n"})

    @classmethod
    def load(cls, path: str | PathLike[str], *, device: str | None = None) -> "XMCClassifier":
        """The classifier that `save` wrote. Raises XmcpipeError if the folder has none.

        `device` replaces the parameter of the same name.
        """
        folder = Path(path)
        try:
            facts = parse_json((folder / FACTS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise XmcpipeError(
                f"{folder} holds no saved classifier: {FACTS} can't be read",
                "xmcpipe.load opens models without it",
            ) from error
        found = cls(**facts["parameters"])
        if device is not None:
            found.device = device
        names = facts["classes"]
        found.classes_ = np.array(names) if isinstance(names[0], int) else np.array(names, object)
        found.model_ = load(folder, device=found.device)
        return found

    def _columns(self) -> dict[str, int]:
        """The column of each label. It is made anew: call it once, not for each text."""
        return {name: column for column, name in enumerate(self.model_.labels)}

    def _predictions(self, texts: Iterable[str], threshold: Threshold | None) -> list[list[Any]]:
        check_is_fitted(self)
        model: Model = self.model_
        return model.predict(text_list(texts), self.k, threshold)

    def _matrix(self, rows: Sequence[Sequence[Any]], values: Sequence[Sequence[Any]], dtype: Any) -> Any:
        """CSR [N, L] with `values` at the labels of `rows`."""
        column = self._columns()
        indices = np.array([column[each.label] for row in rows for each in row], np.int32)
        data = np.array([value for row in values for value in row], dtype)
        indptr = np.cumsum([0, *map(len, rows)])
        matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(rows), len(column)))
        matrix.sort_indices()
        return matrix

    def _own_folder(self) -> Path:
        """A new folder that is removed with this object."""
        folder = tempfile.mkdtemp(prefix="xmcpipe-model-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def __getstate__(self) -> dict[str, Any]:
        """The parameters and, if it is fitted, the files of the model: a pickle needs no other file."""
        state: dict[str, Any] = {**super().__getstate__()}
        model = state.pop("model_", None)
        if model is not None:
            files = (path for path in sorted(model.path.rglob("*")) if path.is_file())
            state["_files"] = {path.relative_to(model.path).as_posix(): path.read_bytes() for path in files}
            if (calibration := model.folders.calibration) is not None:
                state["_files"] |= {name: (calibration / name).read_bytes() for name in FILES}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is None:
            return
        folder = self._own_folder()
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.model_ = load(folder, device=self.device)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, False
        tags.input_tags.string = True
        tags.target_tags.multi_output, tags.target_tags.single_output = True, False
        tags.classifier_tags.multi_label, tags.classifier_tags.multi_class = True, False
        return tags


def _in_order(label_texts: Mapping[Any, str] | None, classes: Sequence[Any]) -> list[str | None] | None:
    if label_texts is None:
        return None
    if not isinstance(label_texts, Mapping):
        raise XmcpipeError(
            f"expected label_texts, a dict from labels to texts, got {type(label_texts).__name__}",
            "dict(zip(labels, texts))",
        )
    known = set(classes)
    unknown = [name for name in label_texts if name not in known]
    if unknown and len(unknown) == len(label_texts):
        raise XmcpipeError(f"label_texts has no label of the documents, but {unknown[0]!r}", "check its keys")
    return [label_texts.get(name) for name in classes]
