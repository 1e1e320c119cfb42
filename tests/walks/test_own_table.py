"""A newcomer's walk: a CSV file of one's own, from `init` to labels for texts and a page, on 80 columns."""

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from xmcpipe.cli.app import app

ROWS, TOPICS, NEW = 2000, 40, 30
COLUMNS = 80
Call = Callable[..., Result]


def rows(seed: int, count: int) -> list[dict[str, str]]:
    """Titles, some with quotes, commas and line breaks, and one to three subjects that their words tell."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        topics = sorted(draw.sample(range(TOPICS), draw.choice([1, 1, 2, 3])))
        words = [f"word{topic * 4 + draw.randrange(4)}" for topic in topics for _ in range(2)]
        noise = [f"word{160 + draw.randrange(40)}" for _ in range(3)]
        title = ", ".join(draw.sample(words + noise, len(words + noise)))
        if number % 7 == 0:
            title = f'"{title}"\nsecond line'
        made.append(
            {"key": f"A{number:05}", "title": title, "subjects": ";".join(f"topic {t}" for t in topics)}
        )
    return made


def write(path: Path, table: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command, which must succeed, on 80 columns, in a folder with papers.csv."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XMCPIPE_STORE", "store")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    write(Path("papers.csv"), rows(0, ROWS))

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result

    return call


def test_a_newcomers_walk(call: Call, tiny_encoder: Path) -> None:
    columns = ("--text-column", "title", "--labels-column", "subjects", "--label-separator", ";")
    found = call(
        "init", "--encoder", tiny_encoder, "--train", "papers.csv", *columns, "--id-column", "key", "-o",
        "papers.toml",
    )  # fmt: skip
    assert "40, of them 0 with one document" in found.stdout
    ran = call("run", "papers.toml")
    for line in ran.stdout.splitlines():
        assert len(line.rstrip()) <= COLUMNS, line
    metrics = json.loads(call("run", "papers.toml", "--json").stdout)["metrics"]
    assert metrics["model"]["P@1"] > metrics["popularity"]["P@1"] + 0.5
    new = rows(1, NEW)
    write(Path("new.csv"), [{"key": row["key"], "title": row["title"]} for row in new])
    call("predict", "papers.toml", "--input", "new.csv", "-o", "labels.jsonl", "--top", 1)
    given = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
    assert [line["id"] for line in given] == [row["key"] for row in new]
    right = [
        line["labels"][0]["label"] in row["subjects"].split(";") for line, row in zip(given, new, strict=True)
    ]
    assert sum(right) > 0.6 * NEW
    call("report", "papers.toml", "-o", "page.html")
    assert "papers" in Path("page.html").read_text()
    status = io.StringIO(call("status", "papers.toml").stdout)
    assert [line.split()[0] for line in status if not line.startswith(" ")][:2] == ["import", "tokenize"]
