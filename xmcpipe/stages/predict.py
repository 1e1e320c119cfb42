"""`predict`: writes the k best labels of every test document to a Parquet table, batch by batch."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.versions import PREDICTIONS_VERSION
from xmcpipe.config import later, require_at_least, runtime
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import read_json_object
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.shards.files import Shards
    from xmcpipe.inference.scorer import Scorer
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

    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Floating-point type in which the encoder and the scores are computed."""

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


# Long: the order of the checks, each of which needs what the ones before it opened.
def run(config: PredictConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Score the test split of the shards with the model and write predictions.parquet into `out`.

    Raises XmcpipeError if the model and the shards have different label vocabularies or tokenizers.
    """
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.predictions import write_predictions_npz
    from xmcpipe.data.shards.files import Shards
    from xmcpipe.inference.scorer import Scorer
    from xmcpipe.modeling.devices import pick_device
    from xmcpipe.modeling.encoder import load_tokenizer

    num_labels = _require_same_vocabulary(inputs["model"], inputs["shards"])
    model = _loaded(inputs["model"], config.propensity_weight)
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
    pad_id = tokenizer.pad_token_id or 0
    pairs = FilterPairs.none(num_labels)
    if config.filter_pairs:
        pairs = FilterPairs.read(inputs["shards"], "test", num_labels)
    # A small vocabulary may have fewer than k labels.
    k = min(config.k, num_labels)
    table, started = out / "predictions.parquet", time.monotonic()
    _write_predictions(table, scorer, test, pad_id, pairs, k, config.batch_size)
    rate = len(test) / max(time.monotonic() - started, 1e-9)
    shutil.copyfile(inputs["shards"] / "labels.parquet", out / "labels.parquet")
    if config.npz:
        write_predictions_npz([table], out / "predictions.npz", num_labels)
    figures = {
        "documents": len(test),
        "k": k,
        "filter_pairs": len(pairs),
        "documents_per_second": round(rate, 1),
    }
    return Result(figures, {"predictions.parquet": len(test), "labels.parquet": num_labels})


def _loaded(folder: Path, propensity_weight: float) -> "Model":
    """The model, with scores that favour rare labels by `propensity_weight`."""
    from xmcpipe.inference.propensity import favour_rare_labels
    from xmcpipe.modeling.saved import load_model

    model, facts = load_model(folder)
    if propensity_weight:
        favour_rare_labels(model, folder, facts, propensity_weight)
    return model


def _write_predictions(
    table: Path,
    scorer: "Scorer",
    test: "Shards",
    pad_id: int,
    pairs: "FilterPairs",
    k: int,
    batch_size: int,
) -> None:
    """Write the k best labels of each of the N documents in `test`, without those that `pairs` exclude."""
    import numpy as np

    from xmcpipe.data.predictions import PredictionsWriter
    from xmcpipe.data.shards.batches import collate, length_order
    from xmcpipe.progress import progress

    ids = test.ids()
    with PredictionsWriter(table) as writer, progress("predict", len(test), "documents", scale=True) as bar:
        for begin in range(0, len(test), WINDOW_ROWS):
            count = min(WINDOW_ROWS, len(test) - begin)
            labels_NK, scores_NK = np.empty((count, k), np.int32), np.empty((count, k), np.float32)
            for rows in length_order(test.lengths[begin : begin + count], batch_size):
                # Excluded labels may be among the best, so get as many more candidates as the largest number
                # of labels that is excluded for one document of the batch.
                candidates = min(k + pairs.most(rows + begin), pairs.num_labels)
                best = scorer.top(collate(test, rows + begin, pad_id), candidates)
                labels_NK[rows], scores_NK[rows] = pairs.best_allowed(rows + begin, *best, k)
                bar.update(len(rows))
            writer.write(ids.slice(begin, count).combine_chunks(), labels_NK, scores_NK)


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
    if _tokenizer_table(model) != _tokenizer_table(shards):
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


def _tokenizer_table(folder: Path) -> dict[str, Any]:
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
    inputs=("model", "shards"),
    run=run,
    help="Label texts from --text, --input or standard input, or else the test documents of a recipe.",
)
