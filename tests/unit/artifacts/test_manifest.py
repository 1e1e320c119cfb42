import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from xmcpipe.artifacts.manifest import Manifest, Output
from xmcpipe.artifacts.sealed import seal
from xmcpipe.errors import XmcpipeError

MANIFEST = Manifest(
    stage="tokenize",
    kind="shards",
    schema_version=1,
    fingerprint="ab" * 32,
    config={"encoder": "gemütlich", "k": [1, 3]},
    inputs={"raw": "cd" * 32},
    outputs={"train-00000.arrow": Output(12, "00" * 32, 3), "log": Output(1, "11" * 32)},
    figures={"documents": 3},
    made_by={"host": "here"},
)


def test_a_written_manifest_is_read_back(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    assert Manifest.read(tmp_path) == MANIFEST


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"stage": 1', '{"outputs": {"a": {"size": 1}}}', '{"outputs": {}, "new": 1}']
)
def test_a_file_that_is_no_manifest_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(XmcpipeError, match=r"can't be read as a manifest"):
        Manifest.read(tmp_path)


def test_a_folder_without_one_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match="is not an artifact"):
        Manifest.read(tmp_path)


def test_numbers_that_json_lacks_never_reach_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        dataclasses.replace(MANIFEST, figures={"loss": float("inf")}).write(tmp_path)
    assert not (tmp_path / "manifest.json").exists()


def test_another_kind_or_version_is_refused_with_a_hint() -> None:
    MANIFEST.require("shards", 1)
    with pytest.raises(XmcpipeError, match="expected an artifact of kind 'raw', got one of kind 'shards'"):
        MANIFEST.require("raw", 1)
    with pytest.raises(XmcpipeError, match="run `xmcpipe tokenize` again"):
        MANIFEST.require("shards", 2)


def test_it_is_json_for_people(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    text = (tmp_path / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text)["outputs"]["log"] == {"bytes": 1, "sha256": "11" * 32, "rows": None}
    assert "gemütlich" in text
    assert text.endswith("}\n")


def test_any_flipped_bit_is_an_error_or_changes_nothing(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    path = tmp_path / "manifest.json"
    whole, refused = path.read_bytes(), 0
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 7)
        path.write_bytes(data)
        try:
            assert Manifest.read(tmp_path) == MANIFEST  # white space, say
        except XmcpipeError:
            refused += 1
    assert refused > 0.6 * len(whole)  # the rest is indentation


def test_a_manifest_without_a_checksum_is_still_read(tmp_path: Path) -> None:
    text = json.dumps(dataclasses.asdict(MANIFEST))
    (tmp_path / "manifest.json").write_text(text)
    assert Manifest.read(tmp_path) == MANIFEST


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("stage", 5, "expected a string as stage, got '5'"),
        ("schema_version", True, "expected a whole number as schema_version, got 'True'"),
        ("config", [1], "expected an object as config"),
        ("inputs.raw", {"a": 1}, "expected a string as inputs.raw"),
        ("figures", [1], "expected an object as figures"),
        ("made_by.seconds", "3", "expected a whole number or a number as made_by.seconds"),
        ("made_by.started", [1], "expected a string as made_by.started"),
        ("made_by.order", None, "expected a whole number as made_by.order, got 'None'"),
        ("made_by.runtime", 1, "expected an object as made_by.runtime"),
        ("outputs.log.bytes", "1", "expected a whole number as bytes of log"),
        ("outputs.log.sha256", 5, "expected a string as sha256 of log"),
        ("outputs.log.rows", "1", "expected a whole number or null as rows of log"),
        *(
            (f"outputs.{name}", {"bytes": 0, "sha256": ""}, "expected the path of a file in the folder, got")
            for name in ("/dev/zero", "../../dev/zero", "a//b", "a\0b", "x" * 300, "")
        ),
    ],
)
def test_a_sealed_manifest_of_other_types_is_an_error(
    tmp_path: Path, path: str, value: Any, expected: str
) -> None:
    table = dataclasses.asdict(MANIFEST)
    *above, key = path.split(".", 2) if path.startswith("outputs.log") else path.split(".", 1)  # not of ".."
    inner = table
    for name in above:
        inner = inner[name]
    inner[key] = value
    (tmp_path / "manifest.json").write_text(seal(table))
    with pytest.raises(XmcpipeError) as caught:
        Manifest.read(tmp_path)
    assert expected in str(caught.value)


def test_a_manifest_larger_than_any_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").touch()
    os.truncate(tmp_path / "manifest.json", 10**12)
    with pytest.raises(XmcpipeError, match="bytes, more than"):
        Manifest.read(tmp_path)
