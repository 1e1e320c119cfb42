"""A trained model for Python programs: `xmcpipe.load(...)` and what it returns.

Importing this module loads neither torch nor NumPy; `load` does. N texts, E width of the embedding, L labels.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from xmcpipe.api.chains import ModelFolders
from xmcpipe.api.finding import RANKING, find_model, ranking_text
from xmcpipe.api.texts import name_list, text_list
from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import require_whole
from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.errors import XmcpipeError
from xmcpipe.home import expanded
from xmcpipe.stages.predict import PredictConfig, require_calibration_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from xmcpipe.inference.bundle import Bundle, Prediction
    from xmcpipe.inference.probability import Order
    from xmcpipe.inference.selection import Wanted

TOP = 5  # labels of a text
Threshold = float | Literal["f1", "macro-f1"]


class Model:
    """A trained model, which maps texts to labels. `xmcpipe.load` makes it.

    `path` is its folder. A Model may be used by several threads at the same time.
    """

    def __init__(self, folders: ModelFolders, bundle: "Bundle", config: PredictConfig) -> None:
        self.path = folders.model
        self._folders, self._bundle, self._config = folders, bundle, config

    @cached_property
    def labels(self) -> list[str]:
        """The names of all L labels; a label's place is its id."""
        names: list[str] = self._bundle.labels["label"].to_pylist()
        return names

    @cached_property
    def label_texts(self) -> list[str | None]:
        """The descriptions of all L labels, in the order of `labels`; None where there is none."""
        texts: list[str | None] = self._bundle.labels["text"].to_pylist()
        return texts

    @property
    def has_probabilities(self) -> bool:
        """Whether predictions have probabilities: with a calibration, or for a model trained with bce."""
        return self._bundle.has_probabilities

    @property
    def is_calibrated(self) -> bool:
        """Whether probabilities were fitted to held-out documents, by the stage `calibrate`."""
        found = self._bundle.probabilities
        return found is not None and found.calibration is not None

    @property
    def folders(self) -> ModelFolders:
        """The folder of the model, and that of its calibration."""
        return self._folders

    @overload
    def predict(  # type: ignore[overload-overlap]  # a string is an iterable of strings
        self,
        texts: str,
        k: int = TOP,
        threshold: Threshold | None = None,
        allow: Collection[str] | None = None,
        deny: Collection[str] | None = None,
        batch_size: int | None = None,
    ) -> "list[Prediction]": ...

    @overload
    def predict(
        self,
        texts: Iterable[str],
        k: int = TOP,
        threshold: Threshold | None = None,
        allow: Collection[str] | None = None,
        deny: Collection[str] | None = None,
        batch_size: int | None = None,
    ) -> "list[list[Prediction]]": ...

    def predict(
        self,
        texts: str | Iterable[str],
        k: int = TOP,
        threshold: Threshold | None = None,
        allow: Collection[str] | None = None,
        deny: Collection[str] | None = None,
        batch_size: int | None = None,
    ) -> "list[Prediction] | list[list[Prediction]]":
        """The k best labels of each text, best first; for a single string, those of this text.

        With `threshold`, from 0 to 1, only labels of at least this probability; "f1" and "macro-f1" are the
        thresholds that the calibration of the model has. `allow` and `deny` are names of labels: only those
        in `allow` and none in `deny` are candidates, so there are k labels as long as k candidates remain.
        For a model of a recipe, its table [predict] has the defaults of these three. A blank text has no
        labels. `batch_size` texts are scored at a time.

        A prediction has the attributes label, text, score and probability. The probability is that of the
        calibration. Without one it is the logistic function 1 / (1 + exp(-score)) for a model trained with
        the loss bce, of the score without what predict.propensity_weight adds; for other losses it is None.

        Raises XmcpipeError for a text that isn't a string, an unknown label, numbers out of range, and a
        threshold that the model can't have.
        """
        from xmcpipe.inference.selection import Wanted

        size, config = self._check(k, threshold, batch_size), self._config
        given = [texts] if isinstance(texts, str) else text_list(texts)
        wanted = Wanted(
            k,
            config.threshold if threshold is None else threshold,
            config.allow if allow is None else name_list(allow, "allow"),
            config.deny if deny is None else name_list(deny, "deny"),
        )
        selection = self._bundle.select(wanted, self.path)
        found = list(self._bundle.predict(given, selection, size))
        return found[0] if isinstance(texts, str) else found

    def encode(self, texts: str | Iterable[str], batch_size: int | None = None) -> "npt.NDArray[np.float32]":
        """The embeddings of N texts, float32 [N, E]; of a single string float32 [E].

        An embedding is the encoder's output after pooling, which the labels read. Raises XmcpipeError for a
        text that isn't a string.
        """
        size = self._check(1, None, batch_size)
        given = [texts] if isinstance(texts, str) else text_list(texts)
        embedding_NE = self._bundle.embed(given, size)
        return embedding_NE[0] if isinstance(texts, str) else embedding_NE

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model, with a model card, to the new folder `path`. Raises XmcpipeError if it exists."""
        from xmcpipe.api.saving import CARD, LEFT_OUT, copy_model, model_card

        target = Path(path)
        card = model_card(self.path, target.name, len(self._bundle.labels))
        copy_model(self.folders, target, {CARD: card, RANKING: ranking_text(self._config)}, LEFT_OUT)

    def push_to_hub(self, name: str, *, private: bool = True, token: str | None = None) -> str:
        """Upload the model, with a model card, to `name` (USER/MODEL) on the Hugging Face hub.

        Returns its address; `xmcpipe.load(name)` then opens it. `private` applies to a new one. `token`: that
        of `hf auth login` by default. Raises XmcpipeError if the hub refuses it or can't be reached.
        """
        from xmcpipe.api.saving import push

        files = {RANKING: ranking_text(self._config)}
        return push(self.folders, name, len(self._bundle.labels), files, private, token)

    def export_onnx(self, path: str | os.PathLike[str]) -> float:
        """Write the model as an ONNX graph to the new folder `path`, with a page that says how to use it.

        The graph is compared with the model first; returns the largest difference of scores. It has neither
        the calibration nor what predict.propensity_weight adds. Raises XmcpipeError without the extra `onnx`,
        for a model that has no exact graph, and if the folder has files in it.
        """
        from xmcpipe.stages.beside.export_onnx import export_onnx

        return export_onnx(self.path, Path(path)).difference

    def grow(
        self,
        labels: Iterable[str],
        texts: Mapping[str, str] | None = None,
        documents: "Iterable[tuple[str, Collection[str]]] | None" = None,
        *,
        epochs: int = 0,
        settings: Mapping[str, Any] | None = None,
        store: str | os.PathLike[str] | None = None,
    ) -> "Model":
        """A model with `labels` beside those of this one, which stays as it is.

        `texts` maps new labels to descriptions; `documents` are pairs of a text and its labels, new ones and
        this model's. Each new label needs one or the other. Ids, rows and scores of old labels are unchanged;
        new ids follow. `epochs` and `settings` are keys of the table [grow]. The model is an artifact in
        `store`, or by default in a temporary folder that is removed with the returned object: `save` it.

        Raises XmcpipeError for a label that exists, is given twice or has neither text nor documents, and for
        a model whose output layer can't have more labels.
        """
        from xmcpipe.api.growing import grown

        own = tempfile.mkdtemp(prefix="xmcpipe-grown-") if store is None else None
        keys = {"device": self._config.device, "epochs": epochs, **(settings or {})}
        try:
            path = grown(self.folders, labels, texts, documents, keys, Path(own or store or ""))
            folders = ModelFolders(path)
            found = Model(folders, open_bundle(folders, self._config), self._config)
        except BaseException:
            if own:
                shutil.rmtree(own, ignore_errors=True)
            raise
        if own:
            weakref.finalize(found, shutil.rmtree, own, ignore_errors=True)
        return found

    def _check(self, k: Any, threshold: Any, batch_size: Any) -> int:
        """Raise XmcpipeError for numbers out of range; returns the batch size."""
        size = self._config.batch_size if batch_size is None else batch_size
        for name, value in (("k", k), ("batch_size", size)):
            if not hasattr(value, "__index__") or isinstance(value, bool) or value < 1:
                raise XmcpipeError(f"expected {name}, a whole number from 1, got {value!r}", f"{name}={TOP}")
        if threshold is not None and not isinstance(threshold, Real | str):
            raise XmcpipeError(f"expected threshold, a probability, got {threshold!r}", "between 0 and 1")
        return int(size)

    def __repr__(self) -> str:
        return f"<xmcpipe model {self.path}: {len(self._bundle.labels):,} labels, {self._bundle.device}>"


def load(
    model: str | os.PathLike[str],
    *,
    store: str | os.PathLike[str] | None = None,
    device: str | None = None,
    precision: str | None = None,
    order: "Order | None" = None,
    calibration: str | os.PathLike[str] | None = None,
    verify: bool = True,
) -> Model:
    """The model in a folder (`artifacts/model/...`), of a recipe (path or name), or of the hub (USER/MODEL).

    `store` is where the recipe's artifacts are: by default XMCPIPE_STORE, else the folder artifacts. The
    table [predict] of the recipe applies, except for k; copies of the model keep order and propensity_weight.
    `device` ("auto", "cpu", "cuda", ...), `precision` ("float32", "bfloat16", "float16") and `order`
    ("score", "probability", "auto") replace its keys. `calibration` is the folder of the model's calibration:
    by default that of the recipe or, for a copied model, its own. With `verify`, files are first compared
    with their manifest, if any.

    A model of the hub is downloaded once. Raises XmcpipeError if there is no such model or recipe, if the
    recipe's model isn't trained yet, for a model of another version, for files that were changed, and for a
    device that can't be used.
    """
    if not isinstance(model, str | os.PathLike):
        raise XmcpipeError(f"expected the path of a model or recipe, got {type(model).__name__}", "a string")
    folders, config = find_model(model, {"device": device, "precision": precision, "order": order}, store)
    if calibration is not None:
        folders = ModelFolders(folders.model, expanded(calibration))
    if verify:
        for folder in filter(None, (folders.model, folders.calibration)):
            if (folder / FILE_NAME).is_file():
                require_whole(Artifact.at(folder))
    return Model(folders, open_bundle(folders, config), config)


def open_bundle(folders: ModelFolders, config: PredictConfig, explain: bool = False) -> "Bundle":
    """The model in `folders`, to predict as `config` says; with `explain`, predictions have words.

    Raises XmcpipeError if there is no model, one of another version, or the calibration of another model.
    """
    model, calibration = folders.model, folders.calibration
    if (model / FILE_NAME).is_file():
        Artifact.at(model).manifest.require("model", MODEL_VERSION)
        if calibration is not None and (calibration / FILE_NAME).is_file():
            require_calibration_of(model, calibration)
    from xmcpipe.inference.bundle import Bundle

    how = (config.device, config.precision, config.label_chunk, explain, config.propensity_weight)
    return Bundle.load(model, *how, calibration, config.order)


def wanted_of(config: PredictConfig) -> "Wanted":
    """Which labels the table [predict] asks for."""
    from xmcpipe.inference.selection import Wanted

    return Wanted(config.k, config.threshold, config.allow, config.deny)
