"""A recipe whose labels read words, from text to metrics, and what explains a prediction."""

import json
from pathlib import Path

import pytest

from tests.pipeline.places import LIGHT, Workplace, settings

WORDS = ["tokenize.words=pairs", "train.head.word_fan_in=16", "train.epochs=3"]


@pytest.mark.parametrize("mode", [[], LIGHT], ids=["paper", "light"])
def test_words_are_read_from_training_to_prediction(workplace: Workplace, mode: list[str]) -> None:
    before = set(workplace.store.glob("model/*"))
    metrics = workplace.run(*settings([*WORDS, *mode]))["metrics"]
    assert metrics["model"]["P@1"] > metrics["popularity"]["P@1"] + 0.3
    (model,) = set(workplace.store.glob("model/*")) - before
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
