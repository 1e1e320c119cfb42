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
    assert len(examples) == 5
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


def test_own_data_in_twenty_lines(tiny_encoder: Path, train: Documents, tmp_path: Path) -> None:
    with (tmp_path / "papers.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "labels"])
        table.writerows(
            [text, "; ".join(names)] for text, names in zip(train.texts, train.labels, strict=True)
        )
    script = (ROOT / "examples" / "own_data.py").read_text(encoding="utf-8")
    assert len([line for line in script.split('"""')[2].splitlines() if line.strip()]) <= 20
    # The encoder of the tests, instead of one that has to be installed.
    start = (
        f"import xmcpipe; xmcpipe.XMCClassifier.__init__.__kwdefaults__['encoder'] = {str(tiny_encoder)!r}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + script, "papers.csv", "my-model"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"P@1 of 20 other documents: \d\.\d\d\n(\w+ +\d\.\d\d\n){3}", done.stdout)
    assert (tmp_path / "my-model" / "model.json").is_file()
