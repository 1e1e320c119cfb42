"""`embed`: every document's embedding is the encoder's own, and a killed run continues where it stopped."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.encoders import HIDDEN, write_encoder
from xmcpipe.artifacts.manifest import Manifest
from xmcpipe.config import from_table
from xmcpipe.data.embeddings import EmbeddingWriter, embeddings_path, read_embeddings
from xmcpipe.data.schema import LABELS
from xmcpipe.data.shards.batches import HostBatch
from xmcpipe.data.shards.files import ShardWriter, shard_path
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference import embedding
from xmcpipe.inference.embedding import Embedder
from xmcpipe.machine import processor
from xmcpipe.modeling.encoder import Pooling, load, pool
from xmcpipe.stages.embed import EMBED, EmbedConfig
from xmcpipe.stages.stage import Result

ROWS = {"train": 45, "test": 7, "label": 0}
FIRST_WORD, WORDS = 4, 200


def tokens(split: str) -> list[list[int]]:
    random = np.random.default_rng(len(split))
    return [
        [2, *random.integers(FIRST_WORD, FIRST_WORD + WORDS, random.integers(0, 20)).tolist(), 3]
        for _ in range(ROWS[split])
    ]


@pytest.fixture
def shards(tmp_path: Path, tiny_encoder: Path) -> Path:
    """Shards of 45 training and 7 test documents of 2 to 21 tokens, made for the tiny encoder."""
    folder = tmp_path / "shards"
    (folder / "tokenizer").mkdir(parents=True)
    for path in tiny_encoder.glob("*token*"):
        shutil.copy(path, folder / "tokenizer")
    for split, rows in ROWS.items():
        if rows:
            with ShardWriter(shard_path(folder, split, 0)) as shard:
                lists = (pa.array(part, pa.list_(pa.int32())) for part in (tokens(split), [[0]] * rows))
                shard.write(pa.array([str(row) for row in range(rows)]), *lists)
    pq.write_table(pa.table({"label": ["a"], "text": [None]}, schema=LABELS), folder / "labels.parquet")
    config = {"encoder": str(tiny_encoder), "max_length": 21}
    Manifest("tokenize", "shards", 1, "0" * 64, config, {}, {}, {}, {}).write(folder)
    return folder


def run(shards: Path, folder: Path, **table: Any) -> Result:
    """Embed into `folder`/out, with the scratch folder `folder`/scratch."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    config = from_table(EmbedConfig, {"batch_size": 4, "precision": "float32", **table}, "embed")
    return EMBED.run(config, {"shards": shards}, folder / "out", folder / "scratch")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_each_row_is_what_the_encoder_makes_of_that_document_alone(
    shards: Path, tiny_encoder: Path, tmp_path: Path, pooling: Pooling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "BLOCK_ROWS", 10)
    result = run(shards, tmp_path, pooling=pooling)
    assert result.rows == {f"{split}.safetensors": rows for split, rows in ROWS.items()}
    assert (result.figures["documents"], result.figures["width"]) == (52, HIDDEN)
    encoder = load(str(tiny_encoder)).eval()
    for split, rows in ROWS.items():
        embeddings = read_embeddings(embeddings_path(tmp_path / "out", split))
        assert embeddings.shape == (rows, HIDDEN)
        for row, document in enumerate(tokens(split)):
            ids = torch.tensor([document])
            with torch.no_grad():
                hidden = encoder(input_ids=ids).last_hidden_state
            alone = pool(hidden, torch.ones_like(ids), pooling)[0]
            np.testing.assert_allclose(embeddings[row], alone.numpy(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("flag", ["avx2", "avx512_bf16"])
def test_bfloat16_is_computed_where_the_processor_has_it(
    shards: Path, tmp_path: Path, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({flag}))
    paths = [embeddings_path(tmp_path / name / "out", "train") for name in ("float32", "bfloat16")]
    run(shards, tmp_path / "float32")
    result = run(shards, tmp_path / "bfloat16", precision="bfloat16")
    assert result.figures["arithmetic"] == ("float32" if flag == "avx2" else "bfloat16")
    exact, found = map(read_embeddings, paths)
    assert np.array_equal(exact, found) == (flag == "avx2")
    np.testing.assert_allclose(found, exact, atol=0.1)


@pytest.mark.parametrize("block", [0, 1, 4])
def test_a_killed_run_continues_with_the_same_bytes(
    shards: Path, tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "BLOCK_ROWS", 10)
    run(shards, tmp_path / "whole")
    write, embed = EmbeddingWriter.write, Embedder.embed
    embedded = []

    def killed(writer: EmbeddingWriter, values: Any) -> None:
        if writer.done == 10 * block:
            raise KeyboardInterrupt
        write(writer, values)

    def counted(embedder: Embedder, batch: HostBatch) -> Any:
        embedded.append(len(batch))
        return embed(embedder, batch)

    monkeypatch.setattr(EmbeddingWriter, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        run(shards, tmp_path / "killed")
    monkeypatch.setattr(EmbeddingWriter, "write", write)
    monkeypatch.setattr(Embedder, "embed", counted)
    run(shards, tmp_path / "killed")
    assert sum(embedded) == sum(ROWS.values()) - 10 * block  # what was on disk is not encoded again
    for split in ROWS:
        whole, again = (embeddings_path(tmp_path / name / "out", split) for name in ("whole", "killed"))
        assert whole.read_bytes() == again.read_bytes()


def test_an_embedding_that_is_not_finite_is_refused(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = Embedder.embed

    def spoiled(embedder: Embedder, batch: HostBatch) -> Any:
        values = embed(embedder, batch)
        values[batch.mask.sum(1) == max(map(len, tokens("train")))] = np.inf
        return values

    longest = max(range(ROWS["train"]), key=lambda row: len(tokens("train")[row]))
    monkeypatch.setattr(Embedder, "embed", spoiled)
    with pytest.raises(XmcpipeError, match=f"expected finite float16 embeddings, .* in document {longest} "):
        run(shards, tmp_path)


def test_an_encoder_with_a_smaller_vocabulary_is_refused(shards: Path, tmp_path: Path) -> None:
    small = write_encoder(tmp_path / "small", ["w"])
    with pytest.raises(XmcpipeError, match=r"expected an encoder with at least 204 embeddings, .* got 5 of"):
        run(shards, tmp_path, encoder=str(small))


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(XmcpipeError, match="expected batch_size >= 1, got batch_size = 0"):
        from_table(EmbedConfig, {"batch_size": 0}, "embed")
