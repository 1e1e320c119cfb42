"""Damaged shards are refused or read right; reading them never leaves memory."""

import os
import random
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.training.shard_files import write_shards
from xmcpipe.data.shards.files import Shards, ShardWriter, shard_path
from xmcpipe.errors import XmcpipeError

DOCUMENTS = [([2, 5 + row, 3], [row % 10]) for row in range(12)]
TRIES = 300


def test_fuzzed_shards_are_refused_or_read(tmp_path: Path) -> None:
    """Bytes of valid shards are changed at seeded places, in all parts of the file."""
    good = tmp_path / "good"
    good.mkdir()
    write_shards(good, DOCUMENTS, rows_per_shard=20)
    data = shard_path(good, "train", 0).read_bytes()
    draw, folder = random.Random(16), tmp_path / "fuzzed"
    for number in range(TRIES):
        place = folder / f"{number:04d}"
        place.mkdir(parents=True)
        spoiled = bytearray(data)
        for _ in range(draw.choice([1, 1, 2, 8])):
            spoiled[draw.randrange(len(data))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
        cut = draw.randrange(len(data)) if draw.random() < 0.1 else len(data)
        shard_path(place, "train", 0).write_bytes(spoiled[:cut])
        os.link(good / "labels.parquet", place / "labels.parquet")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tests.unit.data.shards.read_shards", str(folder), str(out)]
    done = subprocess.run(command, check=False, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    lines = out.read_text().splitlines()
    assert done.returncode == 0, f"crashed after {lines[-1:]}"
    assert len(lines) == TRIES
    kinds = Counter(line.split()[1] for line in lines)
    assert kinds.keys() == {"error", "read"}, [line for line in lines if "traceback" in line][:1]


def lists(values: list[Any], kind: pa.DataType) -> pa.ListArray:
    return pa.array(values, pa.list_(kind))


def raw_lists(offsets: list[int], values: list[int]) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))


GOOD = raw_lists([0, 1, 2], [4, 5])


@pytest.mark.parametrize(
    ("ids", "tokens", "labels", "fault"),
    [
        (["a", "b"], GOOD, raw_lists([0, 1, 2], [3, 10]), "expected labels below 10, got 10"),
        (["a", "b"], GOOD, raw_lists([0, 1, 2], [-1, 3]), "expected labels below 10, got -1"),
        (["a", "b"], GOOD, raw_lists([0, 2, 2], [3, 3]), "in ascending order, each once"),
        (["a", "b"], GOOD, raw_lists([0, 2, 2], [3, 1]), "in ascending order, each once"),
        (["a", "b"], raw_lists([0, 1, 2], [4, -5]), GOOD, "token 1 has the id -5"),
        (["a", "b"], lists([[1], None], pa.int32()), GOOD, "the column input_ids has nulls"),
        (["a", None], GOOD, GOOD, "the column id has nulls"),
        (pa.array([b"\xff", b"b"]).view(pa.string()), GOOD, GOOD, "is damaged: .*UTF8"),
    ],
)
def test_values_that_no_shard_has(
    tmp_path: Path, ids: Any, tokens: pa.ListArray, labels: pa.ListArray, fault: str
) -> None:
    write_shards(tmp_path, [])
    with ShardWriter(shard_path(tmp_path, "train", 0)) as shard:
        shard.write(ids if isinstance(ids, pa.Array) else pa.array(ids, pa.string()), tokens, labels)
    with pytest.raises(XmcpipeError, match=f"train-00000.arrow.*{fault}"):
        Shards(tmp_path, "train")


@pytest.mark.parametrize("offsets", [(0, 1, 2**30), (0, 2, 1), (0, -2, 2), (-1, 1, 2)])
@pytest.mark.parametrize("column", range(3))
def test_offsets_that_lead_out_of_the_values(tmp_path: Path, offsets: tuple[int, ...], column: int) -> None:
    write_shards(tmp_path, [])
    path = shard_path(tmp_path, "train", 0)
    with ShardWriter(path) as shard:
        shard.write(pa.array(["a", "b"]), GOOD, GOOD)
    parts = path.read_bytes().split(struct.pack("<3i", 0, 1, 2))
    assert len(parts) == 4, "each column has these offsets"
    fills = [struct.pack("<3i", *(offsets if number == column else (0, 1, 2))) for number in range(3)]
    path.write_bytes(parts[0] + b"".join(a + b for a, b in zip(fills, parts[1:], strict=True)))
    with pytest.raises(XmcpipeError, match=r"train-00000\.arrow is damaged"):
        Shards(tmp_path, "train")


def test_the_largest_token_is_known(tmp_path: Path) -> None:
    write_shards(tmp_path, [([1, 700], [7]), ([2], [])])
    assert (Shards(tmp_path, "train").num_tokens, Shards(tmp_path, "test").num_tokens) == (701, 0)


def test_labels_ascend_within_a_document_only(tmp_path: Path) -> None:
    write_shards(tmp_path, [([1], [7, 9]), ([1], []), ([1], [0, 9]), ([1], [9])])
    assert Shards(tmp_path, "train").label_csr()[1].tolist() == [7, 9, 0, 9, 9]


def test_a_shard_that_changes_is_checked_again(tmp_path: Path) -> None:
    write_shards(tmp_path, DOCUMENTS[:3])
    assert len(Shards(tmp_path, "train")) == 3
    write_shards(tmp_path, [([1], [11])])
    with pytest.raises(XmcpipeError, match="expected labels below 10, got 11"):
        Shards(tmp_path, "train")


def test_a_pipe_in_place_of_a_shard(tmp_path: Path) -> None:
    os.mkfifo(shard_path(tmp_path, "train", 0))
    with pytest.raises(XmcpipeError, match="neither a file nor a folder"):
        Shards(tmp_path, "train")


def test_a_vocabulary_that_can_not_be_read(tmp_path: Path) -> None:
    write_shards(tmp_path, DOCUMENTS[:3])
    (tmp_path / "labels.parquet").write_text("no Parquet")
    with pytest.raises(XmcpipeError, match="can't be read as a vocabulary"):
        Shards(tmp_path, "train")
