"""Mistakes of users: one line that says what to do, exit code 2, and no incomplete files."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.places import Workplace
from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.sealed import seal, unseal

DOCUMENTS = '{"id": "a", "text": "one", "labels": ["x"]}\n{"id": "b", "text": "two", "labels": ["y"]}\n'


def refused(workplace: Workplace, *arguments: str) -> str:
    """The error line of `xmcpipe ARGUMENTS`; fails unless the exit code is 2 and the store is unchanged."""
    before = sorted(workplace.store.glob("*/*"))
    done = workplace.call(*arguments, code=2)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(workplace.store.glob("[!.]*/*")) == [path for path in before if "/." not in str(path)]
    assert not list(workplace.store.glob(".building/*"))
    return lines[0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epoch=3", "did you mean train.epochs?"),
        ("trian.epochs=3", "did you mean 'train'"),
        ("train.epochs=many", "expected a whole number"),
        ("train.head.kind=sparse", "expected one of 'ffi', 'dense', 'bottleneck', got kind = 'sparse'"),
        ("train.log_every=0", "expected log_every >= 1, got log_every = 0"),
        ("train.seed=-1", "expected seed >= 0, got seed = -1"),
        ("train.head.fan_in=33", "got K = 33 and D = 32"),
        ("tokenize.encoder=./nowhere", "there is no such folder"),
        ("tokenize.encoder=nobody/nothing", "HF_HUB_OFFLINE is set"),
        ("cluster.num_clusters=5000", "clusters"),
    ],
)
def test_recipes(workplace: Workplace, setting: str, message: str) -> None:
    assert message in refused(workplace, "run", "tiny.toml", "--set", setting)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.jsonl", None, "does not exist"),
        ("broken.jsonl", '{"id": "a", "text"\n', "broken.jsonl"),
        ("column.jsonl", DOCUMENTS.replace('"text"', '"body"'), "text"),
        ("empty.jsonl", "", "expected at least one document"),
        ("unlabelled.jsonl", DOCUMENTS.replace('["x"]', "[]").replace('["y"]', "[]"), "label"),
        ("words.parquet", "not parquet", "words.parquet"),
    ],
)
def test_files_to_import(workplace: Workplace, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (workplace.folder / name).write_text(content)
    assert message in refused(workplace, "import", "--train", name)


def test_a_model_and_shards_of_different_vocabularies(workplace: Workplace) -> None:
    (shards,) = workplace.store.glob("shards/*")
    other = workplace.folder / "other"
    shutil.copytree(shards, other)
    labels = pq.read_table(other / "labels.parquet")
    renamed = pa.table(
        {"label": [f"{name}!" for name in labels["label"].to_pylist()], "text": labels["text"]}
    )
    pq.write_table(renamed, changed := other / "labels.parquet")
    manifest = unseal((other / "manifest.json").read_text())
    facts = {"bytes": changed.stat().st_size, "sha256": sha256_of_file(changed)}
    manifest["outputs"]["labels.parquet"].update(facts)
    (other / "manifest.json").write_text(seal(manifest))
    (model,) = workplace.store.glob("model/*")
    message = refused(workplace, "predict", "--model", str(model), "--shards", str(other))
    assert "expected shards with the model's vocabulary" in message


def test_predictions_for_other_documents_than_the_truth(workplace: Workplace) -> None:
    predictions = [{"id": name, "labels": ["x"], "scores": [1.0]} for name in ("a", "c")]
    (workplace.folder / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in predictions))
    (workplace.folder / "t.jsonl").write_text(DOCUMENTS)
    assert "'c'" in refused(workplace, "eval", "--predictions", "p.jsonl", "--truth", "t.jsonl")


FULL_DISK = """
import errno
from xmcpipe.artifacts.store import Store
def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")
Store.publish = full
"""


def test_a_disk_that_fills_up(workplace: Workplace) -> None:
    done = workplace.patched(FULL_DISK, "predict", "--recipe", "tiny.toml", "--set", "predict.k=2")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(errors) == 1
    assert "disk" in errors[0]
    assert not list(workplace.store.glob(".building/*"))
    assert len(list(workplace.store.glob("predictions/*"))) == 1  # the earlier one


def test_an_artifact_that_is_missing_names_the_command_that_makes_it(workplace: Workplace) -> None:
    shutil.rmtree(workplace.store / "shards")
    assert "xmcpipe tokenize" in refused(workplace, "train", "--recipe", "tiny.toml")
