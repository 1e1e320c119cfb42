"""The paper's recipes from a miniature archive in the published layout to metrics, as `make NAME` runs them.

The encoder, its width and the number of steps are the test's; everything else is the recipe's.
"""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.encoders import write_encoder
from tests.layout_folders import Documents, lines, save_npz, write
from tests.pipeline.places import Workplace, settings

LABELS, TRAIN, TEST = 24, 96, 20
NAMES = [f"Product {number}" for number in range(LABELS)]
STAGES = ["download", "tokenize", "cluster", "train", "predict", "eval"]
SMALL = [
    "tokenize.num_workers=1",
    "train.max_steps=3",
    "train.batch_size=32",
    "train.warmup_steps=1",
    "train.head.fan_in=8",
    "train.rewire.interval=1",
]


def documents(count: int, seed: int) -> Documents:
    """Documents with two labels, each of which has a word in the text."""
    rows = [row.tolist() for row in np.random.default_rng(seed).integers(0, LABELS, (count, 2))]
    return [(f"word{one} and word{other}", sorted({one, other})) for one, other in rows]


SPLITS = {"trn": documents(TRAIN, 1), "tst": documents(TEST, 2)}


def pecos(folder: Path) -> None:
    for split, rows in SPLITS.items():
        write(folder / f"X.{split}.txt", lines([text for text, _ in rows]))
        save_npz(folder / f"Y.{split}.npz", rows, LABELS)
        save_npz(folder / f"tfidf-attnxml/X.{split}.npz", rows, LABELS)
    write(folder / "output-items.txt", lines(NAMES))


def with_label_texts(folder: Path) -> None:
    """Titles hold the labels, contents are noise; one label of each test row is a filter pair."""
    for split, rows in SPLITS.items():
        objects = [
            {"uid": f"{split}{row}", "title": text, "content": "noise", "target_ind": labels}
            for row, (text, labels) in enumerate(rows)
        ]
        write(folder / f"{split}.json.gz", lines([json.dumps(each) for each in objects]))
        pairs = [f"{row} {labels[0]}" for row, (_, labels) in enumerate(rows)]
        write(folder / f"filter_labels_{'train' if split == 'trn' else 'test'}.txt", lines(pairs))
    texts = [{"uid": f"L{n}", "title": f"word{n}", "content": "noise"} for n in range(LABELS)]
    write(folder / "lbl.json.gz", lines([json.dumps(each) for each in texts]))


class Place(Workplace):
    """A folder where the package's recipes run on the test's archives, with its encoder."""

    def results(self, name: str, *arguments: str) -> tuple[dict[str, Any], str]:
        """The output of `xmcpipe run NAME --json ARGUMENTS`, and its log."""
        of_test = [f"tokenize.encoder={self.folder / 'encoder'}", "tokenize.max_length=16", *SMALL]
        done = self.call("run", name, "--json", *settings(of_test), *arguments)
        return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("miniatures")
    write_encoder(folder / "encoder", ["and", "noise", *(f"word{n}" for n in range(LABELS))], layers=1)
    return Place(folder)


def packed(place: Place, name: str, make: Callable[[Path], None]) -> str:
    """Write an archive into the place; returns its name."""
    make(place.folder / name)
    with tarfile.open(place.folder / f"{name}.tar.gz", "w:gz") as tar:
        tar.add(place.folder / name, f"xmc-base/{name}")
    return f"{name}.tar.gz"


def artifact(result: dict[str, Any], stage: str) -> Path:
    return next(Path(each["path"]) for each in result["stages"] if each["stage"] == stage)


def texts(folder: Path, file: str) -> list[str]:
    return list(pq.read_table(folder / file)["text"].to_pylist())


def test_amazon670k_and_its_light_variant(place: Place) -> None:
    archive = packed(place, "amazon-670k", pecos)
    result, log = place.results("amazon670k", "--from", archive)
    assert [(each["stage"], each["state"]) for each in result["stages"]] == [
        (name, "made") for name in STAGES
    ]
    assert (
        f"Amazon-670K has {TRAIN} + {TEST} documents, {LABELS} labels, which match no published version"
        in log
    )
    figures = {each["stage"]: each["figures"] for each in result["stages"]}
    assert figures["download"]["version"] == "unknown"
    assert (figures["train"]["steps"], figures["train"]["rewirings"]) == (3, 1)
    assert figures["predict"]["documents"] == result["metrics"]["documents"] == TEST
    assert result["metrics"]["propensity"]["n"] == TRAIN
    assert 0 <= result["metrics"]["model"]["P@5"] <= 1
    light, _ = place.results("amazon670k-light", "--from", archive)
    assert [each["state"] for each in light["stages"]] == ["reused"] * 3 + ["made"] * 3
    # from now on, this archive is the recipe's data, reported as an unknown version
    again = place.call("run", "amazon670k", "--to", "download").stdout
    assert "reused" in again
    assert "dataset Amazon-670K · version unknown · labels 24" in again


@pytest.mark.parametrize(
    ("name", "a", "b"), [("lf_amazontitles131k", 0.6, 2.6), ("lf_wikiseealso320k", 0.5, 0.4)]
)
def test_label_features_take_titles_and_leave_excluded_pairs_out(
    place: Place, name: str, a: float, b: float
) -> None:
    archive = packed(place, name, with_label_texts)
    result, _ = place.results(name, "--from", archive, "--set", f"predict.k={LABELS - 1}")
    raw = artifact(result, "download")
    assert texts(raw, "test.parquet") == [text for text, _ in SPLITS["tst"]]
    assert texts(raw, "labels.parquet") == [f"word{n}" for n in range(LABELS)]
    table = pq.read_table(artifact(result, "predict") / "predictions.parquet")
    for (_, labels), predicted in zip(SPLITS["tst"], table["labels"].to_pylist(), strict=True):
        assert set(predicted) == set(range(LABELS)) - {labels[0]}
    assert result["metrics"]["propensity"] == {"kind": "paper", "a": a, "b": b, "n": TRAIN + LABELS}
    assert result["metrics"]["filter"]["true"] == TEST


def test_keywords_of_papers_in_groups(place: Place) -> None:
    """Titles and contents are read, and no filter pairs are missed."""
    archive = packed(place, "paper2keywords", with_label_texts)
    grouped = [
        "cluster.group=4",
        "train.head.group=4",
        "train.head.frequent_labels=3",
        "train.head.fan_in=16",
    ]
    result, log = place.results("lf_paper2keywords8_6m-grouped", "--from", archive, *settings(grouped))
    assert "? + ? documents, 8,623,847 labels (the settings in the repositories" in log
    assert texts(artifact(result, "download"), "test.parquet") == [
        f"{text} noise" for text, _ in SPLITS["tst"]
    ]
    assert "filter pairs" not in log
    assert result["metrics"]["propensity"] == {"kind": "standard", "a": 0.6, "b": 2.6, "n": TRAIN}
