"""`predict`: the k best labels of every test document, streamed into a Parquet table."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmcpipe.artifacts.versions import PREDICTIONS_VERSION
from xmcpipe.config import require_at_least, runtime
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.stage import Result, Stage

WINDOW_ROWS = (
    32_768  # documents sorted by length together and written in their own order: what is held at a time
)


@dataclass(frozen=True)
class PredictConfig:
    """The table [predict].

    `k` labels a document; `npz` also writes predictions.npz, a CSR matrix [N, L]. With `filter_pairs` the
    pairs of a document and a label that the dataset excludes, if it does, are none of the candidates.
    """

    k: int = 10
    npz: bool = False
    filter_pairs: bool = True
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    batch_size: int = runtime(128)
    label_chunk: int = runtime(32_768)
    device: str = runtime("auto")

    def __post_init__(self) -> None:
        require_at_least(self, 1, "k", "batch_size", "label_chunk")


def run(config: PredictConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Score the test split of the shards with the model and write predictions.parquet into `out`.

    Raises XmcpipeError where the model and the shards have different label vocabularies or tokenizers.
    """
    import time

    import numpy as np

    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.predictions import PredictionsWriter, write_predictions_npz
    from xmcpipe.data.shards.batches import collate, length_order
    from xmcpipe.data.shards.files import Shards
    from xmcpipe.inference.scorer import Scorer
    from xmcpipe.modeling.devices import pick_device
    from xmcpipe.modeling.encoder import load_tokenizer
    from xmcpipe.modeling.saved import load_model
    from xmcpipe.progress import progress

    num_labels = _require_same_vocabulary(inputs["model"], inputs["shards"])
    model, _ = load_model(inputs["model"])
    device = pick_device(config.device)
    scorer = Scorer(model, device, config.precision, config.label_chunk)
    pad_id = load_tokenizer(str(inputs["model"] / "tokenizer")).pad_token_id or 0
    test, k, started = Shards(inputs["shards"], "test"), min(config.k, num_labels), time.monotonic()
    ids = test.ids()
    pairs = FilterPairs.none(num_labels)
    if config.filter_pairs:
        pairs = FilterPairs.read(inputs["shards"], "test", num_labels)
    table = out / "predictions.parquet"
    with PredictionsWriter(table) as writer, progress("predict", len(test), "documents", scale=True) as bar:
        for begin in range(0, len(test), WINDOW_ROWS):
            count = min(WINDOW_ROWS, len(test) - begin)
            labels_NK, scores_NK = np.empty((count, k), np.int32), np.empty((count, k), np.float32)
            for rows in length_order(test.lengths[begin : begin + count], config.batch_size):
                wanted = min(k + pairs.most(rows + begin), num_labels)
                best = scorer.top(collate(test, rows + begin, pad_id), wanted)
                labels_NK[rows], scores_NK[rows] = pairs.best_allowed(rows + begin, *best, k)
                bar.update(len(rows))
            writer.write(ids.slice(begin, count).combine_chunks(), labels_NK, scores_NK)
    rate = len(test) / max(time.monotonic() - started, 1e-9)
    shutil.copyfile(inputs["model"] / "labels.parquet", out / "labels.parquet")
    if config.npz:
        write_predictions_npz(table, out / "predictions.npz", num_labels)
    figures = {
        "documents": len(test),
        "k": k,
        "filter_pairs": len(pairs),
        "documents_per_second": round(rate, 1),
    }
    return Result(figures, {"predictions.parquet": len(test), "labels.parquet": num_labels})


def _require_same_vocabulary(model: Path, shards: Path) -> int:
    """The number of labels.

    Raises XmcpipeError unless both have the same labels, and tokens, in the same order.
    """
    import pyarrow.parquet as pq

    mine = pq.read_table(model / "labels.parquet", columns=["label"])["label"]
    theirs = pq.read_table(shards / "labels.parquet", columns=["label"])["label"]
    if len(mine) != len(theirs) or not mine.equals(theirs):
        raise XmcpipeError(
            f"the vocabularies differ: the model knows {len(mine)} labels, the shards have {len(theirs)}",
            "predict on the shards that the model was trained on, or on others made with the same vocabulary",
        )
    if _tokenizer_table(model) != _tokenizer_table(shards):
        raise XmcpipeError(
            "the model and the shards have different tokenizers", "tokenize with the model's encoder"
        )
    return len(mine)


def _tokenizer_table(folder: Path) -> dict[str, Any]:
    """tokenizer.json but for its lengths: a model may well be used on documents cut elsewhere."""
    text = (folder / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8")
    return {key: value for key, value in json.loads(text).items() if key not in ("truncation", "padding")}


PREDICT = Stage(
    name="predict",
    kind="predictions",
    config=PredictConfig,
    schema_version=PREDICTIONS_VERSION,
    inputs=("model", "shards"),
    run=run,
)
