import dataclasses
import json
from pathlib import Path

import pytest

from xmcpipe.artifacts.manifest import Manifest, Output
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
