"""`baseline`: trains a system of a library on the raw artifact, and writes its predictions of the test split.

The predictions have the format of those of `predict`, so that the stage `eval` measures both alike. This
stage is beside the chain: `xmcpipe run` doesn't run it, and `xmcpipe baseline` runs it instead of `train` and
`predict`.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from xmcpipe.artifacts.versions import PREDICTIONS_VERSION
from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.stages.stage import Result, Stage


def run(config: BaselineConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Train the system on the training split, and write predictions.parquet of the test split into `out`.

    Filter pairs are left out, as `predict` does. Raises XmcpipeError if the library of the system is missing,
    or for data that it can't be trained on.
    """
    import numpy as np

    from xmcpipe.baselines.documents import Documents
    from xmcpipe.baselines.systems import SYSTEMS
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.predictions import PredictionsWriter

    documents, system = Documents(inputs["raw"]), SYSTEMS[config.system]
    system.require()
    num_labels, num_test = documents.num_labels, documents.num_test
    pairs, rows = FilterPairs.read(inputs["raw"], "test", num_labels), np.arange(num_test)
    # Excluded labels may be among the best, so more candidates are ranked (see filter_pairs.py).
    k = min(config.k, num_labels)
    ranking = system.rank(documents, config, min(k + pairs.most(rows), num_labels), scratch)
    labels_MK, scores_MK = pairs.best_allowed(rows, ranking.labels, ranking.scores, k)
    with PredictionsWriter(out / "predictions.parquet") as writer:
        writer.write(documents.test_ids(), labels_MK, scores_MK)
    shutil.copyfile(inputs["raw"] / "labels.parquet", out / "labels.parquet")
    figures = {
        "system": config.system,
        "documents": num_test,
        "k": k,
        "filter_pairs": len(pairs),
        **ranking.figures,
    }
    return Result(figures, {"predictions.parquet": num_test, "labels.parquet": num_labels})


BASELINE = Stage(
    name="baseline",
    kind="predictions",
    config=BaselineConfig,
    schema_version=PREDICTIONS_VERSION,
    inputs=("raw",),
    run=run,
    beside=True,
    help="Train and measure popularity, a linear model, omikuji, napkinXC or PECOS on the data of a recipe.",
)
