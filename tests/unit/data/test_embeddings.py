"""The file of embeddings: written in blocks, continued after a kill, read as safetensors reads it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from xmcpipe.data.embeddings import Embeddings, EmbeddingWriter, read_embeddings
from xmcpipe.errors import XmcpipeError


def values(rows: int, width: int) -> Embeddings:
    return np.random.default_rng(rows * 100 + width).normal(size=(rows, width)).astype(np.float16)


@given(
    rows=st.integers(0, 30),
    width=st.integers(1, 9),
    block=st.integers(1, 12),
    kills=st.sets(st.integers(0, 30)),
)
def test_what_is_written_is_read_whatever_the_blocks_and_the_kills(
    tmp_path_factory: pytest.TempPathFactory, rows: int, width: int, block: int, kills: set[int]
) -> None:
    path, expected = tmp_path_factory.mktemp("embeddings") / "train.safetensors", values(rows, width)
    writer = EmbeddingWriter(path, rows, width)
    while writer.done < rows:
        if writer.done in kills:  # a new process, which knows only the folder
            kills = kills - {writer.done}
            before, writer = writer.done, EmbeddingWriter(path, rows, width)
            assert writer.done == before
        writer.write(expected[writer.done : writer.done + block])
    np.testing.assert_array_equal(read_embeddings(path), expected)
    np.testing.assert_array_equal(load_file(path)["embedding"], expected)


def test_rows_after_the_record_are_written_again(tmp_path: Path) -> None:
    path, expected = tmp_path / "train.safetensors", values(6, 4)
    EmbeddingWriter(path, 6, 4).write(expected[:2])
    with path.open("r+b") as file:  # killed after a block was written and before it was recorded
        file.seek(-8, 2)
        file.write(b"\xff" * 8)
    writer = EmbeddingWriter(path, 6, 4)
    assert writer.done == 2
    writer.write(expected[2:])
    np.testing.assert_array_equal(read_embeddings(path), expected)


@pytest.mark.parametrize("change", ["shape", "cut file", "no file", "broken record"])
def test_another_file_is_begun_again(tmp_path: Path, change: str) -> None:
    path = tmp_path / "train.safetensors"
    EmbeddingWriter(path, 6, 4).write(values(6, 4))
    rows = 5 if change == "shape" else 6
    if change == "cut file":
        path.write_bytes(path.read_bytes()[:-2])
    if change == "no file":
        path.unlink()
    if change == "broken record":
        path.with_suffix(".json").write_text("{")
    writer = EmbeddingWriter(path, rows, 4)
    assert writer.done == 0
    writer.write(values(rows, 4))
    np.testing.assert_array_equal(read_embeddings(path), values(rows, 4))


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}", "truncated", "float32"])
def test_another_format_is_refused(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "train.safetensors"
    EmbeddingWriter(path, 3, 4).write(values(3, 4))
    whole = path.read_bytes()
    if content == "truncated":
        content = whole[:-1]
    if content == "float32":
        content = whole.replace(b'"F16"', b'"F32"')
    assert isinstance(content, bytes)
    path.write_bytes(content)
    with pytest.raises(XmcpipeError, match=r"train\.safetensors can't be read as embeddings"):
        read_embeddings(path)


def test_a_row_is_read_without_the_rest_and_can_not_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "train.safetensors"
    EmbeddingWriter(path, 3, 4).write(values(3, 4))
    mapped = read_embeddings(path)
    assert isinstance(mapped, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 1
    assert json.loads(path.with_suffix(".json").read_text()) == {"done": 3}
