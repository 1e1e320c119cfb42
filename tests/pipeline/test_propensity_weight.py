"""Predictions that favour rare labels, of test documents and of new texts."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.pipeline.places import Workplace, settings
from xmcpipe.metrics import inverse_propensity


def test_scores_grow_by_the_propensity(workplace: Workplace) -> None:
    plain = workplace.run("--set", "predict.k=1000")["metrics"]
    before = set(workplace.store.glob("predictions/*"))
    weighted = workplace.run(*settings(["predict.k=1000", "predict.propensity_weight=0.5"]))["metrics"]
    (new,) = set(workplace.store.glob("predictions/*")) - before
    (model,) = workplace.store.glob("model/*")
    labels = pq.read_table(model / "labels.parquet")
    facts = json.loads((model / "model.json").read_text())
    counts = labels["documents"].to_numpy()
    added = 0.5 * np.log(inverse_propensity(counts.astype(np.int64), facts["documents"]))
    assert added.max() > added.min() + 0.2
    assert counts.sum() > facts["documents"]  # labels have several documents, documents several labels

    old = next(path for path in before if len(pq.read_table(path / "predictions.parquet")["labels"][0]) > 10)
    one, other = (pq.read_table(folder / "predictions.parquet") for folder in (old, new))
    for row in range(0, len(one), 7):
        scores = dict(zip(one["labels"][row].as_py(), one["scores"][row].as_py(), strict=True))
        found = dict(zip(other["labels"][row].as_py(), other["scores"][row].as_py(), strict=True))
        assert scores.keys() == found.keys()  # all labels
        for label, score in found.items():
            assert score == pytest.approx(scores[label] + added[label], abs=0.02)  # scores in bfloat16
        assert list(found.values()) == sorted(found.values(), reverse=True)
    assert weighted["model"]["PSP@1"] != plain["model"]["PSP@1"]

    call = ("predict", "--model", str(model), "--text", "a text", "--top", "1000", "--json")
    texts = [
        {row["label"]: row["score"] for row in json.loads(workplace.call(*call, *more).stdout)["labels"]}
        for more in ((), ("--set", "predict.propensity_weight=0.5"))
    ]
    by_name = dict(zip(labels["label"].to_pylist(), added, strict=True))
    for name, score in texts[1].items():
        assert score == pytest.approx(texts[0][name] + by_name[name], abs=1e-4)


def test_a_model_without_counts_is_refused(workplace: Workplace) -> None:
    (model,) = workplace.store.glob("model/*")
    facts = json.loads((model / "model.json").read_text())
    del facts["documents"]
    (model / "model.json").write_text(json.dumps(facts))
    more = settings(["predict.propensity_weight=0.5"])
    changed = ("--no-verify", *more)
    done = workplace.call("predict", "--model", str(model), "--text", "a", *changed, code=2)
    assert "has no numbers of documents" in done.stderr
