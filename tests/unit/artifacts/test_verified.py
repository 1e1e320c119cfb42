"""Damaged files of an artifact: always noticed in small files, and in large ones once they have changed."""

import os
from pathlib import Path

import pytest

from xmcpipe.artifacts.fingerprint import fingerprint, sha256_of_file
from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.artifacts.verified import SMALL_BYTES, Verified, require_whole_now
from xmcpipe.errors import XmcpipeError

NAME = fingerprint("tokenize", 1, {}, {})
MESSAGE = r"{} was changed: expected .* bytes with sha256 .*run `xmcpipe tokenize --force`"


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    store = Store(tmp_path)
    building = store.building("shards")
    (building / "small").write_bytes(b"small")
    (building / "large").write_bytes(bytes(SMALL_BYTES + 1))
    manifest = Manifest("tokenize", "shards", 1, NAME, {}, {}, {}, {}, {})
    return store.publish(building, store.seal(building, manifest, {}), False)


def change(path: Path, keep_time: bool = False) -> None:
    """Flip a bit in place; with `keep_time` as rot of the disk does, without a change of the time."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(3)
        byte = file.read(1)[0]
        file.seek(3)
        file.write(bytes([byte ^ 4]))
    times = (before.st_atime_ns, before.st_mtime_ns + (0 if keep_time else 1))
    os.utime(path, ns=times)


def test_a_whole_artifact_passes_and_large_files_are_hashed_once(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def watched(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of_file(path)

    monkeypatch.setattr("xmcpipe.artifacts.verified.sha256_of_file", watched)
    Verified(tmp_path).require_whole(artifact)
    assert sorted(hashed) == ["large", "small"]
    Verified(tmp_path).require_whole(artifact)
    assert sorted(hashed) == ["large", "small", "small"]
    os.utime(artifact.path / "large")
    Verified(tmp_path).require_whole(artifact)
    assert hashed.count("large") == 2


def test_a_published_artifact_need_not_be_hashed_again(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Verified(tmp_path).remember(artifact)
    monkeypatch.setattr("xmcpipe.artifacts.verified.sha256_of_file", lambda path: f"{path.name} was hashed")
    with pytest.raises(XmcpipeError, match=MESSAGE.format("small")):  # not the large one, which comes first
        Verified(tmp_path).require_whole(artifact)


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("seen", [False, True])
def test_a_changed_file_is_named(artifact: Artifact, tmp_path: Path, name: str, seen: bool) -> None:
    if seen:
        Verified(tmp_path).require_whole(artifact)
    change(artifact.path / name)
    with pytest.raises(XmcpipeError, match=MESSAGE.format(name)):
        Verified(tmp_path).require_whole(artifact)


def test_rot_is_noticed_in_small_files_and_by_a_full_check(artifact: Artifact, tmp_path: Path) -> None:
    Verified(tmp_path).require_whole(artifact)
    change(artifact.path / "large", keep_time=True)
    Verified(tmp_path).require_whole(artifact)  # what was seen whole counts, until the file is written
    with pytest.raises(XmcpipeError, match=MESSAGE.format("large")):
        require_whole_now(artifact)
    change(artifact.path / "small", keep_time=True)
    with pytest.raises(XmcpipeError, match=MESSAGE.format("small")):
        Verified(tmp_path).require_whole(artifact)


def test_a_missing_file_is_named(artifact: Artifact, tmp_path: Path) -> None:
    (artifact.path / "small").unlink()
    with pytest.raises(XmcpipeError, match=r"small can't be read: No such file.*xmcpipe tokenize --force"):
        Verified(tmp_path).require_whole(artifact)


@pytest.mark.parametrize("text", ["", "[]", '{"large": 1}', '{"large": [1, 2, 3, "00"]}'])
def test_a_damaged_record_only_costs_time(artifact: Artifact, tmp_path: Path, text: str) -> None:
    Verified(tmp_path).require_whole(artifact)
    (record,) = tmp_path.glob(".verified/*/*.json")
    record.write_text(text)
    Verified(tmp_path).require_whole(artifact)
    change(artifact.path / "large")
    record.write_text(text)
    with pytest.raises(XmcpipeError, match="large was changed"):
        Verified(tmp_path).require_whole(artifact)
