"""What model.json says beside the shape is checked where it is read: a stranger may have written it."""

import json
from pathlib import Path
from typing import Any

import pytest

from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.saved import read_facts

GOOD: dict[str, Any] = {
    "documents": 220,
    "figures": {"validation": {"P@1": 0.5}},
    "recipe": {
        "tokenize": {"encoder": "x"},
        "train": {"loss": "bce", "seed": 2**63 - 1, "validation": 0.1, "encoder": {"frozen": True}},
    },
}


def written(folder: Path, path: str, value: Any) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(json.dumps({"schema_version": MODEL_VERSION, **GOOD}))
    *above, key = path.split(".")
    inner = table
    for name in above:
        inner = inner[name]
    inner[key] = value
    (folder / "model.json").write_text(json.dumps(table))
    return table


def test_good_facts_are_read_as_they_are(tmp_path: Path) -> None:
    table = written(tmp_path, "documents", 0)
    assert read_facts(tmp_path) == table
    (tmp_path / "model.json").write_text(json.dumps({"schema_version": MODEL_VERSION}))  # of an older version
    assert read_facts(tmp_path) == {"schema_version": MODEL_VERSION}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("recipe", [1], "expected a table as recipe, got '[1]'"),
        ("recipe", None, "expected a table as recipe, got 'None'"),
        ("recipe.train", "x", "expected a table as recipe.train, got 'x'"),
        ("recipe.tokenize", 1.5, "expected a table as recipe.tokenize"),
        ("recipe.tokenize.encoder", {}, "expected a string as recipe.tokenize.encoder"),
        ("recipe.train.encoder", [], "expected a table as recipe.train.encoder"),
        ("recipe.train.encoder.name", -1, "expected a string as recipe.train.encoder.name, got '-1'"),
        ("recipe.train.encoder.frozen", [[]], "expected true or false as recipe.train.encoder.frozen"),
        ("recipe.train.seed", 2**63, "expected a count as recipe.train.seed"),
        ("recipe.train.validation", 1, "expected recipe.train.validation from 0 to below 1, got 1"),
        ("recipe.train.validation", True, "expected a number as recipe.train.validation, got 'True'"),
        ("recipe.train.validation_max", -1, "expected a count as recipe.train.validation_max, got '-1'"),
        ("documents", "220", "expected a count as documents, got '220'"),
        ("documents", 10**30, "expected a count as documents"),
        ("figures", [1], "expected a table as figures"),
        ("figures.validation", 1e308, "expected a table as figures.validation"),
        ("figures.validation.P@1", None, "expected a number as figures.validation.P@1, got 'None'"),
        ("figures.more", float("inf"), "Out of range float values are not JSON compliant"),
    ],
)
def test_other_types_are_one_line(tmp_path: Path, path: str, value: Any, expected: str) -> None:
    written(tmp_path, path, value)
    with pytest.raises(XmcpipeError) as caught:
        read_facts(tmp_path)
    assert expected in str(caught.value)
    assert "model.json can't be read" in str(caught.value)
