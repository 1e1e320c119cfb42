"""`predict`: writes the k best labels of every test document to a Parquet table, batch by batch."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.versions import CALIBRATION_VERSION, PREDICTIONS_VERSION
from xmcpipe.config import later, names_or_file, require_at_least, runtime
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import read_json_object
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.data.shards.files import Shards
    from xmcpipe.inference.probability import Probabilities
    from xmcpipe.inference.rows import RowScorer
    from xmcpipe.inference.selection import Selection
    from xmcpipe.modeling.model import Model

# Within a window of this many rows, documents are scored in order of their length, which needs less padding,
# and then written in their own order. The predictions of one window are in memory at a time.
WINDOW_ROWS = 32_768


@dataclass(frozen=True)
class PredictConfig:
    """The recipe table [predict]: how many labels to predict, and how to score them."""

    k: int = 10
    """Number of labels to predict for each document, best first."""

    npz: bool = False
    """Whether to also write the predictions as predictions.npz, a SciPy CSR matrix [N, L]."""

    filter_pairs: bool = True
    """Whether to leave out the pairs of a document and a label that the dataset excludes (filter pairs)."""

    propensity_weight: float = later(0.0)
    """Favours rare labels: this multiple of ln(1 / propensity) is added to every score. 0 ranks labels by
    their probability, which is best for P@k; 1 ranks them for PSP@k; choose a value between on validation
    data."""

    order: Literal["score", "probability", "auto"] = later("score")
    """What labels are ordered by. Scores of rare labels are often too high, so that the probability that
    [calibrate] learned can be a better order; it needs that table. Labels are then chosen from the best ones
    by score: as many as calibrate.candidates, and at least twice k. "auto" orders them so if [calibrate]
    found that it is better, on held-out documents and by more than two standard errors of P@k."""

    threshold: float | Literal["f1", "macro-f1"] | None = later(None)
    """Smallest probability of a predicted label, from 0 to 1. "f1" and "macro-f1" are those that [calibrate]
    chose: one for all labels with the largest micro F1, or one for each label with the largest F1 of its own.
    Without it, each document has k labels."""

    allow: tuple[str, ...] | None = names_or_file()
    """Labels that may be predicted: a list of names, or a file with one on each line. By default all."""

    deny: tuple[str, ...] | None = names_or_file()
    """Labels that are never predicted, as in predict.allow."""

    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Floating-point type in which the encoder and the scores are computed. A processor without
    instructions for it computes in float32."""

    batch_size: int = runtime(128)
    """Number of documents that are scored at a time."""

    label_chunk: int = runtime(32_768)
    """Number of labels that are scored at a time; a smaller number takes less memory."""

    device: str = runtime("auto")
    """Device to run on, such as "cpu" or "cuda"; "auto" uses a GPU if there is one."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        require_at_least(self, 1, "k", "batch_size", "label_chunk")
        require_at_least(self, 0, "propensity_weight")
        if isinstance(self.threshold, float) and not 0 <= self.threshold <= 1:
            raise ValueError(f"expected 0 <= threshold <= 1, got threshold = {self.threshold}")


# Long: the order of the checks, each of which needs what the ones before it opened.
def run(config: PredictConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Score the test split of the shards with the model and write predictions.parquet into `out`.

    `inputs` may have a calibration of the model; then the table has its probabilities. Raises XmcpipeError if
    the model and the shards have different label vocabularies or tokenizers, if the calibration is of another
    model, for an unknown label in allow or deny, and for a threshold that the model can't have.
    """
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.predictions import write_predictions_npz
    from xmcpipe.data.shards.files import Shards
    from xmcpipe.inference.rows import RowScorer
    from xmcpipe.inference.scorer import Scorer
    from xmcpipe.modeling.devices import pick_device
    from xmcpipe.modeling.encoder import load_tokenizer

    num_labels = _require_same_vocabulary(inputs["model"], inputs["shards"])
    model, selection, probabilities = _loaded(config, inputs, num_labels)
    test = Shards(inputs["shards"], "test")
    if model.words is not None:
        _require_words(model.words.kind, inputs["shards"], test)
    scorer = Scorer(model, pick_device(config.device), config.precision, config.label_chunk)
    tokenizer = load_tokenizer(str(inputs["model"] / "tokenizer"))
    if test.num_tokens > len(tokenizer):
        raise XmcpipeError(
            f"{inputs['shards']}: expected token ids below {len(tokenizer):,}, as the model's tokenizer has, "
            f"got {test.num_tokens - 1:,}",
            "run `xmcpipe tokenize` again",
        )
    pairs = FilterPairs.none(num_labels)
    if config.filter_pairs:
        pairs = FilterPairs.read(inputs["shards"], "test", num_labels)
    documents = RowScorer(scorer, test, tokenizer.pad_token_id or 0, pairs, config.batch_size)
    table, started = out / "predictions.parquet", time.monotonic()
    predicted = _write_predictions(table, documents, selection, probabilities, "calibration" in inputs)
    rate = len(test) / max(time.monotonic() - started, 1e-9)
    shutil.copyfile(inputs["shards"] / "labels.parquet", out / "labels.parquet")
    if config.npz:
        write_predictions_npz([table], out / "predictions.npz", num_labels)
    figures: dict[str, Any] = {
        "documents": len(test),
        "k": selection.most(num_labels),  # a small vocabulary may have fewer than k labels
        "filter_pairs": len(pairs),
        "documents_per_second": round(rate, 1),
    }
    if config.order != "score":
        figures["order"] = "probability" if probabilities is not None and probabilities.reorders else "score"
    if selection.cut is not None:
        figures["labels_per_document"] = round(predicted / max(len(test), 1), 2)
    return Result(figures, {"predictions.parquet": len(test), "labels.parquet": num_labels})


def _loaded(
    config: PredictConfig, inputs: Mapping[str, Path], num_labels: int
) -> "tuple[Model, Selection, Probabilities | None]":
    """The model, with scores that favour rare labels as `config` says, what it predicts, and how probable."""
    from xmcpipe.calibration.saved import read_calibration
    from xmcpipe.data.vocabulary_file import read_vocabulary
    from xmcpipe.inference.probability import probabilities
    from xmcpipe.inference.propensity import favour_rare_labels
    from xmcpipe.inference.selection import Wanted
    from xmcpipe.modeling.saved import load_model

    folder, calibration = inputs["model"], None
    if "calibration" in inputs:
        require_calibration_of(folder, inputs["calibration"])
        calibration = read_calibration(inputs["calibration"], num_labels)
    model, facts = load_model(folder)
    added_L = None
    if config.propensity_weight:
        added_L = favour_rare_labels(model, folder, facts, config.propensity_weight)
    found = probabilities(facts, added_L, calibration, config.order, folder)
    wanted = Wanted(config.k, config.threshold, config.allow, config.deny)
    return model, wanted.selection(read_vocabulary(folder), found, folder), found


def require_calibration_of(model: Path, calibration: Path) -> None:
    """Raise XmcpipeError unless the artifact in `calibration` is that of the model artifact in `model`."""
    manifest = Artifact.at(calibration).manifest
    manifest.require("calibration", CALIBRATION_VERSION)
    expected = Artifact.at(model).manifest.fingerprint
    if manifest.inputs.get("model") != expected:
        raise XmcpipeError(
            f"expected a calibration of the model {expected[:16]}, got one of the model "
            f"{str(manifest.inputs.get('model'))[:16]}",
            "run `xmcpipe calibrate` on this model",
        )


def _write_predictions(
    table: Path,
    documents: "RowScorer",
    selection: "Selection",
    probabilities: "Probabilities | None",
    stored: bool,
) -> int:
    """Write the labels of each of the N documents, with probabilities if `stored`; returns their number."""
    import numpy as np

    from xmcpipe.data.predictions import PredictionsWriter
    from xmcpipe.progress import progress

    ids, total, predicted = documents.documents.ids(), len(documents.documents), 0
    with (
        PredictionsWriter(table, stored) as writer,
        progress("predict", total, "documents", scale=True) as bar,
    ):
        for begin in range(0, total, WINDOW_ROWS):
            rows_N = np.arange(begin, min(begin + WINDOW_ROWS, total))
            count = selection.k if probabilities is None else probabilities.count(selection.k)
            best = documents.best(rows_N, count, selection.choice, bar.update)
            labels_NK, scores_NK, found_NK = selection.decide(*best, probabilities, selection.k)
            part = ids.slice(begin, len(rows_N)).combine_chunks()
            writer.write(part, labels_NK, scores_NK, found_NK if stored else None)
            predicted += int((labels_NK >= 0).sum())
    return predicted


def _require_same_vocabulary(model: Path, shards: Path) -> int:
    """Check that model and shards belong together; returns the number of labels L.

    Raises XmcpipeError unless both have the same labels in the same order, and the same tokenizer.
    """
    from xmcpipe.data.vocabulary_file import read_vocabulary

    of_model, of_shards = (read_vocabulary(folder)["label"] for folder in (model, shards))
    if len(of_model) != len(of_shards) or not of_model.equals(of_shards):
        raise XmcpipeError(
            f"expected shards with the model's vocabulary of {len(of_model)} labels, got another one of "
            f"{len(of_shards)} labels",
            "predict on the shards that the model was trained on, or on others with the same vocabulary",
        )
    if tokenizer_table(model) != tokenizer_table(shards):
        raise XmcpipeError(
            "expected shards made with the model's tokenizer, got those of another one",
            "tokenize with the model's encoder",
        )
    return len(of_model)


def _require_words(kind: str, folder: Path, test: "Shards") -> None:
    """Raise XmcpipeError unless the shards have the words that the model reads."""
    stored = Artifact.at(folder).manifest.config.get("words", "none")
    if stored != kind or not test.has_terms:
        raise XmcpipeError(
            f"expected shards with tokenize.words = {kind!r}, which the model reads, got {stored!r}",
            "tokenize with the model's setting",
        )


def tokenizer_table(folder: Path) -> dict[str, Any]:
    """The contents of tokenizer.json without truncation and padding.

    A model may be used on documents that were truncated at another length.
    """
    from xmcpipe.modeling.encoder import TOKENIZER_BYTES

    path = folder / "tokenizer" / "tokenizer.json"
    try:
        table = read_json_object(path, TOKENIZER_BYTES)
    except (OSError, ValueError) as error:
        raise XmcpipeError(f"{path} can't be read: {error}", "run the stage again") from error
    return {key: value for key, value in table.items() if key not in ("truncation", "padding")}


PREDICT = Stage(
    name="predict",
    kind="predictions",
    config=PredictConfig,
    schema_version=PREDICTIONS_VERSION,
    inputs=("model", "shards", "calibration"),
    run=run,
    required=lambda config: ("model", "shards"),
    help="Label texts from --text, --input or standard input, or else the test documents of a recipe.",
)
