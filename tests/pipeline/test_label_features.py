"""A dataset with label texts and filter pairs, from the repository's folder to the metrics."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.encoders import write_encoder
from tests.layout_folders import lines, write
from xmcpipe.cli.session import open_chain, read_recipe, runner_of

LABELS, TRAIN, TEST, K = 12, 96, 24, 4
RECIPE = """
[import]
folder = "{folder}"
min_label_count = 0
repeated = "keep"
leaked = "keep"
[tokenize]
encoder = "{encoder}"
max_length = 16
num_workers = 1
[train]
epochs = 1
batch_size = 16
loss = "bce"
warmup_steps = 2
precision = "float32"
validation = 0.1
label_features = true
encoder = {{ pooling = "mean", dropout = 0.0, lr = 3e-3 }}
head = {{ fan_in = 8, bias = true, lr = 0.03 }}
rewire = {{ interval = 0 }}
[predict]
k = {k}
precision = "float32"
[eval]
propensity = "paper"
k = [1, 3]
"""


def make_folder(folder: Path) -> None:
    """Label n is identified by the words n and n + 50; test rows have two filter pairs, one of them true."""
    rng = np.random.default_rng(0)
    for split, count in (("trn", TRAIN), ("tst", TEST)):
        rows = []
        for row in range(count):
            labels = rng.choice(LABELS, 2, replace=False).tolist()
            words = [f"word{word}" for label in labels for word in (label, label + 50)]
            texts = {"title": " ".join(words[:2]), "content": " ".join(words[2:])}
            rows.append(json.dumps({"uid": f"{split}{row}", **texts, "target_ind": labels}))
            if split == "tst":
                other = next(label for label in range(LABELS) if label not in labels)
                with (folder / "filter_labels_test.txt").open("a") as file:
                    file.write(f"{row} {labels[0]}\n{row} {other}\n")
        write(folder / f"{split}.json.gz", lines(rows))
    names = [json.dumps({"uid": f"L{n}", "title": f"word{n} word{n + 50}"}) for n in range(LABELS)]
    write(folder / "lbl.json.gz", lines(names))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lf")
    (folder / "given").mkdir()
    make_folder(folder / "given")
    encoder = write_encoder(folder / "encoder", [f"word{n}" for n in range(100)], layers=1)
    (folder / "lf.toml").write_text(RECIPE.format(folder=folder / "given", encoder=encoder, k=K))
    return folder


def run(place: Path, *settings: str) -> dict[str, Any]:
    """Kind -> artifact of the recipe with these settings."""
    recipe = read_recipe(str(place / "lf.toml"), list(settings))
    return {
        outcome.stage.kind: outcome.artifact
        for outcome in runner_of(open_chain(recipe, place / "artifacts")).run()
    }


def ranked(artifact: Any) -> list[list[int]]:
    rows: list[list[int]] = pq.read_table(artifact.path / "predictions.parquet")["labels"].to_pylist()
    return rows


def test_excluded_pairs_are_out_before_the_cut_and_label_texts_are_trained_on(place: Path) -> None:
    made = run(place)
    assert (made["shards"].path / "filter_test.parquet").is_file()
    table = pq.read_table(made["raw"].path / "filter_test.parquet")
    pairs = set(zip(table["row"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert len(pairs) == 2 * TEST
    whole = run(place, "predict.filter_pairs=false", f"predict.k={LABELS}")
    filtered, every = ranked(made["predictions"]), ranked(whole["predictions"])
    assert filtered == [
        [label for label in labels if (row, label) not in pairs][:K] for row, labels in enumerate(every)
    ]
    assert {len(labels) for labels in filtered} == {K}
    # 87 documents in training, and 12 label texts: 7 batches of 16, where documents alone were 6
    assert made["model"].manifest.figures["steps"] == 7
    metrics = json.loads((made["metrics"].path / "metrics.json").read_text())
    assert metrics["propensity"] == {"kind": "paper", "a": 0.55, "b": 1.5, "n": TRAIN + LABELS}
    assert metrics["filter"]["true"] == TEST
    # evaluation leaves the pairs out by itself, before the cut
    unfiltered = json.loads((whole["metrics"].path / "metrics.json").read_text())
    assert unfiltered["model"] == pytest.approx(metrics["model"])
