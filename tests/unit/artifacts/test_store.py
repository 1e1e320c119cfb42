import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xmcpipe.artifacts.fingerprint import fingerprint
from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.artifacts.scratch import forget
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.errors import XmcpipeError

NAME = fingerprint("tokenize", 1, {}, {"raw": "00"})
MANIFEST = Manifest("tokenize", "shards", 1, NAME, {}, {"raw": "00"}, {}, {"rows": 2}, {"host": "here"})
DAY = 86_400.0


def publish(store: Store, text: str = "one", replace: bool = False) -> Artifact:
    building = store.building("shards")
    (building / "tokenizer").mkdir()
    (building / "data").write_text(text)
    (building / "tokenizer" / "vocabulary").write_text("words")
    return store.publish(building, store.seal(building, MANIFEST, {"data": 2}), replace)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def test_a_published_artifact_is_complete_and_its_building_folder_is_gone(store: Store) -> None:
    assert store.find("shards", NAME) is None
    artifact = publish(store)
    assert store.find("shards", NAME) == artifact
    assert list(store.all()) == list(store.all("shards")) == [artifact]
    assert list(store.all("raw")) == []
    assert artifact.path.name == NAME[:16]
    assert artifact.bytes == len("one") + len("words")
    assert artifact.manifest.outputs["data"].rows == 2
    assert artifact.manifest.outputs["tokenizer/vocabulary"].rows is None
    assert list((store.root / ".building").iterdir()) == []


def test_a_folder_without_a_manifest_is_no_artifact_and_can_be_replaced(store: Store) -> None:
    (publish(store).path / "manifest.json").unlink()
    assert store.find("shards", NAME) is None
    assert list(store.all()) == []
    assert (publish(store, "two").path / "data").read_text() == "two"
    assert list((store.root / ".building").iterdir()) == []


def test_a_second_publisher_uses_the_first_artifact(store: Store) -> None:
    first = publish(store)
    second = publish(store, "two")
    assert second == first
    assert (first.path / "data").read_text() == "one"
    assert list((store.root / ".building").iterdir()) == []


def test_an_artifact_can_be_replaced(store: Store) -> None:
    publish(store)
    assert (publish(store, "two", replace=True).path / "data").read_text() == "two"
    assert list((store.root / ".building").iterdir()) == []


def test_faults_name_every_changed_output(store: Store) -> None:
    artifact = publish(store)
    assert artifact.faults() == []
    (artifact.path / "data").write_text("eno")
    (artifact.path / "tokenizer" / "vocabulary").unlink()
    (artifact.path / "stray").write_text("")
    faults = "\n".join(artifact.faults())
    assert "data was changed" in faults
    assert "tokenizer/vocabulary is missing" in faults
    assert "stray isn't in the manifest" in faults
    assert len(artifact.faults()) == 3


def test_a_manifest_with_another_config_is_a_fault(store: Store) -> None:
    artifact = publish(store)
    dataclasses.replace(artifact.manifest, config={"max_length": 1}).write(artifact.path)
    assert "manifest.json was changed" in Artifact.at(artifact.path).faults()[0]


def test_a_folder_with_a_damaged_or_missing_manifest_is_broken(store: Store) -> None:
    assert store.broken("shards", NAME) == store.broken("shards", None) == []
    path = publish(store).path
    assert store.broken("shards", NAME) == store.broken("shards", None) == []
    text = (path / "manifest.json").read_text()
    for damaged in (text[:100], text.replace("tokenize", "tokenise"), "{}"):
        (path / "manifest.json").write_text(damaged)
        (line,) = store.broken("shards", NAME)
        assert line == store.broken("shards", None)[0]
        assert line.startswith(f"{path}: manifest.json was changed")
        assert store.find("shards", NAME) is None
    (path / "manifest.json").unlink()
    assert store.broken("shards", NAME) == [f"{path}: manifest.json is missing"]


def test_a_manifest_of_another_artifact_is_not_found(store: Store) -> None:
    artifact = publish(store)
    dataclasses.replace(artifact.manifest, fingerprint="0" * 64).write(artifact.path)
    assert store.find("shards", NAME) is None
    assert store.broken("shards", NAME) == [f"{artifact.path}: manifest.json is that of another artifact"]


def test_a_removed_artifact_is_gone(store: Store) -> None:
    artifact = publish(store)
    store.remove(artifact)
    assert list(store.all()) == []
    assert not artifact.path.exists()
    store.remove(artifact)  # by another process, say: no error


def test_leftovers_are_those_of_dead_processes(store: Store) -> None:
    mine = store.building("shards")
    assert store.leftovers(DAY) == []
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    name, host, machine, _, token = mine.name.split(".")
    dead = mine.with_name(f"{name}.{host}.{machine}.{process.pid}-1.{token}")
    foreign = mine.with_name(f"{name}.{host}.elsewhere.{process.pid}-1.{token}")
    dead.mkdir()
    foreign.mkdir()
    assert store.leftovers(DAY) == [dead]
    os.utime(foreign, (time.time() - 2 * DAY,) * 2)
    assert store.leftovers(DAY) == sorted([dead, foreign])
    store.building("raw")
    assert dead.exists()
    store.building("shards")  # by the next attempt
    assert not dead.exists()
    assert mine.exists()
    assert foreign.exists()


def test_scratch_outlives_an_attempt_until_it_is_old_and_nobody_holds_it(store: Store) -> None:
    with store.exclusive("model", NAME) as scratch:
        (scratch / "checkpoint").write_text("state")
    assert store.leftovers(DAY) == []
    free = store.root / ".scratch" / f"model-{NAME[:16]}"
    for path in (free, free / "checkpoint"):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    with store.exclusive("model", NAME) as scratch:
        assert (scratch / "checkpoint").read_text() == "state"
        assert store.leftovers(DAY) == []
    assert store.leftovers(DAY) == [free]
    with store.exclusive("model", NAME) as scratch:
        forget(scratch)
    assert list((store.root / ".scratch").iterdir()) == []


def test_an_impossible_store_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file")
    with pytest.raises(XmcpipeError, match=r"can't write to the store.*--store"):
        store.building("raw")
    with (
        pytest.raises(XmcpipeError, match=r"can't write to the store.*--store"),
        store.exclusive("raw", NAME),
    ):
        pass
