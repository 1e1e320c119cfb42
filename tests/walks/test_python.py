"""A newcomer's walk in Python: texts in memory, a model that is saved and opened, and ten labels more."""

import random
from pathlib import Path

import xmcpipe
from tests.walks.test_own_table import ROWS, TOPICS, rows

NEW = 10


def test_a_walk_in_python(tiny_encoder: Path, tmp_path: Path) -> None:
    table = rows(0, ROWS)
    texts, labels = [row["title"] for row in table], [row["subjects"].split(";") for row in table]
    settings = {"train.epochs": 3, "train.head.fan_in": 16}
    classifier = xmcpipe.XMCClassifier(
        encoder=str(tiny_encoder), frozen=True, device="cpu", settings=settings
    )
    classifier.fit(texts, labels).save(tmp_path / "model")

    model = xmcpipe.load(tmp_path / "model", device="cpu")
    assert len(model.labels) == TOPICS
    found = model.predict(texts[:50], k=3)
    assert all(0 <= each.probability <= 1 for row in found for each in row if each.probability is not None)
    assert sum(row[0].label in right for row, right in zip(found, labels, strict=False)) >= 40
    likely = model.predict(texts[:50], k=3, threshold=0.5)
    assert sum(map(len, likely)) < sum(map(len, found))

    names = [f"more {number}" for number in range(NEW)]
    larger = model.grow(names, documents=[each for name in names for each in documents(name, 20, 1)])
    assert larger.labels == [*model.labels, *names]
    larger.save(tmp_path / "larger")
    again = xmcpipe.load(tmp_path / "larger", device="cpu")
    asked = [documents(name, 1, 2)[0] for name in names]
    best = again.predict([text for text, _ in asked], k=3)
    assert (
        sum(right[0] in [each.label for each in row] for row, (_, right) in zip(best, asked, strict=True))
        >= 8
    )
    old = again.predict(texts[:50], k=1)
    assert sum(row[0].label in right for row, right in zip(old, labels, strict=False)) >= 38


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
