"""A newcomer's walk in Python: texts in memory; a model that is saved, opened, served, shared and grown."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import xmcpipe
from tests.hub_server import serve as hub_of
from tests.served import get, predict, serving
from tests.walks.test_own_table import ROWS, TOPICS, rows

ROOT = Path(__file__).parents[2]
NEW = 10
# Another process opens the model, predicts, shares it, opens what was shared, and predicts again.
PROGRAM = """
import json, sys, xmcpipe
folder, text = sys.argv[1:]
model = xmcpipe.load(folder, device="cpu")
print(model.push_to_hub("me/papers"))
for each in (model, xmcpipe.load("me/papers", device="cpu")):
    print(json.dumps([[one.label, one.score, one.probability] for one in each.predict(text, k=3)]))
"""


@pytest.fixture(scope="module")
def table() -> list[dict[str, str]]:
    return rows(0, ROWS)


@pytest.fixture(scope="module")
def saved(tiny_encoder: Path, table: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that was trained on 2,000 texts in memory."""
    texts, labels = [row["title"] for row in table], [row["subjects"].split(";") for row in table]
    settings = {"train.epochs": 3, "train.head.fan_in": 16}
    classifier = xmcpipe.XMCClassifier(
        encoder=str(tiny_encoder), frozen=True, device="cpu", settings=settings
    )
    folder = tmp_path_factory.mktemp("walk") / "model"
    classifier.fit(texts, labels).save(folder)
    return folder


@pytest.fixture(scope="module")
def model(saved: Path) -> xmcpipe.Model:
    return xmcpipe.load(saved, device="cpu")


def num_right(found: list[list[xmcpipe.Prediction]], table: list[dict[str, str]]) -> int:
    """How many texts have a right label first."""
    return sum(row[0].label in right["subjects"].split(";") for row, right in zip(found, table, strict=False))


def test_labels_with_probabilities_and_a_threshold(model: xmcpipe.Model, table: list[dict[str, str]]) -> None:
    texts = [row["title"] for row in table[:50]]
    assert len(model.labels) == TOPICS
    found = model.predict(texts, k=3)
    assert all(0 <= each.probability <= 1 for row in found for each in row if each.probability is not None)
    assert num_right(found, table) >= 40
    likely = model.predict(texts, k=3, threshold=0.5)
    assert 0 < sum(map(len, likely)) < sum(map(len, found))


def test_a_service_answers_as_the_model_does(model: xmcpipe.Model, table: list[dict[str, str]]) -> None:
    texts = [row["title"] for row in table[:5]]
    with serving(model, name="papers") as port:
        assert get(port, "/health").value["labels"] == TOPICS
        status, answer, _ = predict(port, texts=texts, k=3, threshold=0.2)
    assert status == 200
    given = [[(each["label"], each["probability"]) for each in one["labels"]] for one in answer["results"]]
    expected = model.predict(texts, k=3, threshold=0.2)
    assert [[label for label, _ in row] for row in given] == [
        [each.label for each in row] for row in expected
    ]
    assert any(row for row in given)
    for row, right in zip(given, expected, strict=True):
        assert [value for _, value in row] == pytest.approx([each.probability for each in right], abs=1e-6)


def test_another_process_opens_the_model_and_shares_it(
    saved: Path, model: xmcpipe.Model, table: list[dict[str, str]], tmp_path: Path
) -> None:
    text = table[0]["title"]
    with hub_of(tmp_path / "hub") as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(saved), text],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        address = hub.address
    lines = done.stdout.splitlines()
    assert lines[:1] == [f"{address}/me/papers"], done.stderr
    expected = [[each.label, each.score, each.probability] for each in model.predict(text, k=3)]
    for line in lines[1:]:
        found = json.loads(line)
        assert [row[0] for row in found] == [row[0] for row in expected]
        assert [row[1:] for row in found] == [pytest.approx(row[1:], abs=1e-5) for row in expected]
    assert len(lines) == 3
    shared = tmp_path / "hub" / "me" / "papers"
    assert (shared / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()


def test_ten_labels_more(model: xmcpipe.Model, table: list[dict[str, str]], tmp_path: Path) -> None:
    names = [f"more {number}" for number in range(NEW)]
    larger = model.grow(names, documents=[each for name in names for each in documents(name, 20, 1)])
    assert larger.labels == [*model.labels, *names]
    larger.save(tmp_path / "larger")
    again = xmcpipe.load(tmp_path / "larger", device="cpu")
    asked = [documents(name, 1, 2)[0] for name in names]
    best = again.predict([text for text, _ in asked], k=3)
    named = [[each.label for each in row] for row in best]
    assert sum(right[0] in row for row, (_, right) in zip(named, asked, strict=True)) >= 8
    assert num_right(again.predict([row["title"] for row in table[:50]], k=1), table) >= 38


def documents(name: str, count: int, seed: int) -> list[tuple[str, list[str]]]:
    """Documents of a new label, told by four words that no label of the training had, and of an old one."""
    draw, first = random.Random(f"{name} {seed}"), 160 + 4 * int(name.split()[1])
    made = []
    for _ in range(count):
        topic = draw.randrange(TOPICS)
        words = [f"word{first + place}" for place in range(4)]
        words += [f"word{topic * 4 + draw.randrange(4)}" for _ in range(2)]
        made.append((", ".join(draw.sample(words, len(words))), [name, f"topic {topic}"]))
    return made
