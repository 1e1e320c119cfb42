"""How far the probabilities of a predictions artifact are from what the test split says: ECE@k and diagrams.

N documents, K labels of each.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Table = dict[str, dict[str, Any]]


def reliability_of_test(
    predictions: Path, shards: Path, ks: Sequence[int], calibration: Path | None
) -> Table | None:
    """k -> `before` and `after` calibration, each as in `Reliability.table`; keys are strings, as in JSON.

    None unless the predictions have probabilities and were made of these shards. `before` is null without the
    calibration that made them, and if the scores have no probability of their own: for another loss than bce,
    or if they are not those of the model, but favour rare labels or are log odds of probabilities.
    """
    import pyarrow.parquet as pq

    from xmcpipe.artifacts.store import Artifact

    table = predictions / "predictions.parquet"
    if "probabilities" not in pq.read_schema(table).names:
        return None
    manifest = Artifact.at(predictions).manifest
    if manifest.inputs.get("shards") != Artifact.at(shards).manifest.fingerprint:
        return None
    logistic = False
    ordered = manifest.figures.get("order") == "probability"
    changed = manifest.config.get("propensity_weight") or ordered
    if calibration is not None and not changed:
        from xmcpipe.calibration.saved import read_facts

        made_by_it = manifest.inputs.get("calibration") == Artifact.at(calibration).manifest.fingerprint
        logistic = made_by_it and read_facts(calibration).get("loss") == "bce"
    return _measured(table, shards, ks, logistic)


def _measured(table: Path, shards: Path, ks: Sequence[int], logistic: bool) -> Table:
    """Read the predictions some documents at a time, and compare them with the truth."""
    import numpy as np
    import pyarrow.parquet as pq

    from xmcpipe.calibration.maps import Sigmoid
    from xmcpipe.calibration.reliability import Reliability, reliability_at
    from xmcpipe.data.filter_pairs import FilterPairs
    from xmcpipe.data.shards.files import Shards

    num_labels, test = pq.read_metadata(shards / "labels.parquet").num_rows, Shards(shards, "test")
    excluded = FilterPairs.read(shards, "test", num_labels)
    found: dict[tuple[int, str], Reliability] = {}
    with pq.ParquetFile(table) as file:
        first = 0
        for batch in file.iter_batches(columns=["labels", "scores", "probabilities"]):
            rows_N = np.arange(first, first + len(batch))
            first += len(batch)
            labels, lengths = test.labels.gather(rows_N)
            true = FilterPairs.of(np.repeat(rows_N, lengths), labels, num_labels)
            labels_NK = _padded(batch["labels"], -1)
            hits_NK = true.holds(rows_N[:, None], labels_NK)
            left_out_NK = (labels_NK < 0) | excluded.holds(rows_N[:, None], labels_NK)
            values = {"after": _padded(batch["probabilities"], np.nan)}
            if logistic:
                values["before"] = Sigmoid()(_padded(batch["scores"], 0.0))
            for name, values_NK in values.items():
                for k in ks:
                    part = reliability_at(np.where(left_out_NK, np.nan, values_NK), hits_NK, k)
                    known = found.get((k, name))
                    found[k, name] = part if known is None else known + part
    return {
        str(k): {name: found[k, name].table() if (k, name) in found else None for name in ("before", "after")}
        for k in ks
    }


def _padded(lists: Any, missing: float) -> Any:
    """Lists of different lengths as an array [N, K], with `missing` at their ends."""
    import numpy as np

    lengths, values = lists.value_lengths().to_numpy(), lists.flatten().to_numpy()
    present = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
    padded = np.full(present.shape, missing, values.dtype)
    padded[present] = values
    return padded
