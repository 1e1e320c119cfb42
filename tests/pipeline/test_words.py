"""A recipe whose labels read words, from text to metrics, and what explains a prediction."""

import base64
import gzip
import json
import re
from pathlib import Path

import pytest

from tests.pipeline.places import LIGHT, Workplace, settings

WORDS = ["tokenize.words=pairs", "train.head.word_fan_in=16", "train.epochs=3"]


FREQUENT = ["train.head.frequent_labels=5", "train.head.frequent_word_fan_in=64"]


@pytest.mark.parametrize(
    "mode",
    [
        [],
        pytest.param(LIGHT, marks=pytest.mark.slow),
        pytest.param(FREQUENT, marks=pytest.mark.slow),
        pytest.param([*LIGHT, *FREQUENT, "train.head.weight_dtype=float8"], marks=pytest.mark.slow),
    ],
    ids=["paper", "light", "paper-frequent", "light-frequent-float8"],
)
def test_words_are_read_from_training_to_prediction(workplace: Workplace, mode: list[str]) -> None:
    before = {kind: set(workplace.store.glob(f"{kind}/*")) for kind in ("model", "metrics")}
    metrics = workplace.run(*settings([*WORDS, *mode]))["metrics"]
    assert metrics["model"]["P@1"] > metrics["popularity"]["P@1"] + 0.3
    (model,) = set(workplace.store.glob("model/*")) - before["model"]
    facts = json.loads((model / "model.json").read_text())
    assert facts["words"]["kind"] == "pairs"
    assert 0 < facts["words"]["count"] <= 65_535
    assert 0.9 < facts["figures"]["memory"]["ratio"] < 1.1
    text = _a_text(workplace)
    done = workplace.call("predict", "--model", str(model), "--text", text, "--explain", "--json")
    labels = json.loads(done.stdout)["labels"]
    parts = [part for label in labels for part in label["words"]]
    assert parts
    for part in parts:
        assert part["part"] > 0
        assert part["word"] in " ".join(text.lower().split())
    plain = workplace.call("predict", "--model", str(model), "--text", text, "--json")
    assert [label["score"] for label in json.loads(plain.stdout)["labels"]] == [
        label["score"] for label in labels
    ]

    (measured,) = set(workplace.store.glob("metrics/*")) - before["metrics"]
    plain_run = next(iter(before["metrics"]))
    names = ["--name", "words", "--name", "plain", "--bootstrap", "0", "--output", "words.html"]
    workplace.call("report", str(measured), str(plain_run), *names)
    page = (workplace.folder / "words.html").read_text()
    data = re.search(r'<script type="application/octet-stream" id="data">([^<]*)<', page)
    assert data
    documents = json.loads(gzip.decompress(base64.b64decode(data[1])))
    of_words, of_plain = documents["runs"]
    assert of_plain["words"] is None
    at = next(n for n, shown in enumerate(documents["texts"]) if shown == text)
    names_of = [documents["labels"][label][0] for label in of_words["labels"][at]]
    on_page = dict(zip(names_of, of_words["words"][at], strict=True))
    for label in labels:
        expected = [[part["word"], pytest.approx(part["part"], rel=1e-3)] for part in label["words"][:3]]
        assert on_page[label["label"]] == expected


def test_a_model_without_words_can_not_explain(workplace: Workplace) -> None:
    (model,) = workplace.store.glob("model/*")
    done = workplace.call("predict", "--model", str(model), "--text", "a", "--explain", code=2)
    assert "reads no words" in done.stderr


def test_shards_without_words_are_refused(workplace: Workplace) -> None:
    done = workplace.call("run", "tiny.toml", *settings(WORDS[1:]), code=2)
    assert 'set tokenize.words to "pairs"' in done.stderr


def _a_text(workplace: Workplace) -> str:
    import pyarrow.parquet as pq

    (raw,) = workplace.store.glob("raw/*/test.parquet")
    return str(pq.read_table(Path(raw), columns=["text"])["text"][0].as_py())
