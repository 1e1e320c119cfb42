"""The examples of the page on Python run, in their order; and the scripts in examples/."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import xmcpipe
from tests.unit.api.conftest import Documents

ROOT = Path(__file__).parents[3]


def test_the_examples_of_the_page_run(
    tiny_encoder: Path,
    train: Documents,
    test: Documents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = xmcpipe.XMCClassifier.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "encoder", str(tiny_encoder))
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == 6
    names: dict[str, Any] = {
        "texts": train.texts,
        "labels": train.labels,
        "test_texts": test.texts,
        "test_labels": test.labels,
    }
    for example in examples:
        exec(compile(example, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4  # three labels and a figure
    assert float(printed[-1]) > 0.8
    assert [len(row) for row in names["some"]] == [1] * len(test.texts)
    assert {row[0].label for row in names["some"]} <= {"editors", "spelling"}


def write_papers(folder: Path, documents: Documents) -> None:
    with (folder / "papers.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "labels"])
        table.writerows([text, "; ".join(names)] for text, names in zip(*documents, strict=True))


def run_example(name: str, encoder: Path, folder: Path, *arguments: str) -> Any:
    """Run a script of examples/ with the encoder of the tests, instead of one that has to be installed."""
    script = (ROOT / "examples" / name).read_text(encoding="utf-8")
    start = f"import xmcpipe; xmcpipe.XMCClassifier.__init__.__kwdefaults__['encoder'] = {str(encoder)!r}\n"
    return subprocess.run(
        [sys.executable, "-c", start + script, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_own_data_in_twenty_lines(tiny_encoder: Path, train: Documents, tmp_path: Path) -> None:
    write_papers(tmp_path, train)
    script = (ROOT / "examples" / "own_data.py").read_text(encoding="utf-8")
    assert len([line for line in script.split('"""')[2].splitlines() if line.strip()]) <= 20
    done = run_example("own_data.py", tiny_encoder, tmp_path, "papers.csv", "my-model")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"P@1 of 20 other documents: \d\.\d\d\n(\w+ +\d\.\d\d\n){3}", done.stdout)
    assert (tmp_path / "my-model" / "model.json").is_file()


@pytest.mark.slow
def test_labels_are_added_to_a_model(model: xmcpipe.Model, tiny_encoder: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "my-model")
    with (tmp_path / "new.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["label", "text"], ["compilers", "word1 word2"], ["drawing", "word3"]])
    arguments = ("my-model", "new.csv", "my-larger-model", "word1 word2 word3")
    done = run_example("grow_labels.py", tiny_encoder, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    first, *rows = done.stdout.splitlines()
    assert first == "6 labels and 2 new ones"
    assert len(rows) == 3
    assert xmcpipe.load(tmp_path / "my-larger-model").labels[-2:] == ["compilers", "drawing"]


@pytest.mark.slow
def test_a_threshold_searched_with_scikit_learn(tiny_encoder: Path, train: Documents, tmp_path: Path) -> None:
    write_papers(tmp_path, train)
    done = run_example("sklearn_pipeline.py", tiny_encoder, tmp_path, "papers.csv")
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"best threshold: 0\.[135]\nF1 of 32 other documents: (\d\.\d\d)\n", done.stdout)
    assert found, done.stdout
    assert float(found[1]) > 0.7
