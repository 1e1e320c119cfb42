"""`tokenize`: the token ids of the tokenizer itself, in order, in shards of a fixed size."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.unit.stages.tokenize.world import WORDS, documents, lists, make_encoder, run, write_raw
from xmcpipe.data.schema import LABELS
from xmcpipe.data.shards import tokenizing
from xmcpipe.data.shards.files import Shards
from xmcpipe.data.shards.tokenizing import Lengths, label_ranges
from xmcpipe.stages.tokenize import TokenizeConfig


@pytest.mark.parametrize("large", [False, True])
def test_shards_hold_the_output_of_the_tokenizer(tmp_path: Path, encoder: Path, large: bool) -> None:
    from transformers import AutoTokenizer

    train = [*documents(25), ("W1 w2  unheard-of", [2, 0, 2, 1])]
    texts = ["w1 w2", None, "", "  ", "w3"]
    raw = write_raw(tmp_path / "raw", train, texts, large)
    config = TokenizeConfig(str(encoder), max_length=9, rows_per_shard=10)
    figures, rows = run(config, raw, tmp_path / "out")

    split = Shards(tmp_path / "out", "train")
    expected = AutoTokenizer.from_pretrained(encoder)(
        [text for text, _ in train], truncation=True, max_length=9
    )
    assert lists(split.tokens) == expected["input_ids"]
    assert split.ids().to_pylist() == [f"train{number}" for number in range(26)]
    assert lists(split.labels) == [sorted(set(ids)) for _, ids in train]
    assert rows == {
        "train-00000.arrow": 10, "train-00001.arrow": 10, "train-00002.arrow": 6,
        "test-00000.arrow": 1, "label-00000.arrow": 2,
    }  # fmt: skip
    lengths = [len(ids) for ids in expected["input_ids"]]
    words = [len(text.replace("-", " - ").split()) for text, _ in train]
    assert figures["train"] == {
        "documents": 26,
        "tokens": sum(lengths),
        "mean": round(sum(lengths) / 26, 2),
        "median": sorted(lengths)[12],
        "p95": sorted(lengths)[24],
        "max": 9,
        "truncated": round(sum(number > 7 for number in words) / 26, 4),
    }
    label = Shards(tmp_path / "out", "label")
    assert label.ids().to_pylist() == ["label0", "label4"]
    assert lists(label.labels) == [[0], [4]]
    assert lists(label.tokens) == [[2, 5, 6, 3], [2, 7, 3]]
    assert (tmp_path / "out/labels.parquet").read_bytes() == (raw / "labels.parquet").read_bytes()


def test_the_saved_tokenizer_gives_the_same_ids(tmp_path: Path, encoder: Path) -> None:
    from transformers import AutoTokenizer

    train = documents(30)
    run(
        TokenizeConfig(str(encoder), max_length=6),
        write_raw(tmp_path / "raw", train, ["w1"] * 4),
        tmp_path / "out",
    )
    saved = AutoTokenizer.from_pretrained(tmp_path / "out/tokenizer")
    ids = saved([text for text, _ in train], truncation=True)["input_ids"]
    assert ids == lists(Shards(tmp_path / "out", "train").tokens)


def test_processes_write_the_same_bytes_as_one(tmp_path: Path, encoder: Path) -> None:
    raw = write_raw(tmp_path / "raw", documents(40), ["w1", None, "w2", "w3"])
    for workers in (1, 2):
        config = TokenizeConfig(str(encoder), rows_per_shard=15, max_length=16, num_workers=workers)
        run(config, raw, tmp_path / f"out{workers}")
    files = sorted(path.name for path in (tmp_path / "out1").glob("*.arrow"))
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out2" / name).read_bytes()


def test_a_document_without_a_token_gets_one(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "bare", special=False)
    raw = write_raw(tmp_path / "raw", [("w1", [0]), ("", [1]), ("w2", [2]), ("", [])], [None] * 3)
    figures, _ = run(TokenizeConfig(str(encoder), max_length=4), raw, tmp_path / "out")
    assert lists(Shards(tmp_path / "out", "train").tokens) == [[5], [1], [6], [1]]
    assert "label" not in figures
    assert len(Shards(tmp_path / "out", "label")) == 0


def test_long_texts_are_read_few_at_a_time(
    tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizing, "READ_BYTES", 20_000)
    monkeypatch.setattr(tokenizing, "ENCODE_BYTES", 9_000)
    seen: list[int] = []
    encode = tokenizing._encode

    def spy(tokenizer: Tokenizer, texts: pa.StringArray, task: tokenizing.ShardTask) -> object:
        seen.append(sum(map(len, texts.to_pylist())))
        return encode(tokenizer, texts, task)

    monkeypatch.setattr(tokenizing, "_encode", spy)
    random = np.random.default_rng(0)
    train = [(" ".join(random.choice(WORDS, 1000)), [0]) for _ in range(40)]
    run(
        TokenizeConfig(str(encoder), max_length=8),
        write_raw(tmp_path / "raw", train, [None]),
        tmp_path / "out",
    )
    assert max(seen) < 2 * 9_000
    split = Shards(tmp_path / "out", "train")
    assert len(split) == 40
    assert set(split.lengths.tolist()) == {8}


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 7))
def test_ranges_of_labels_hold_the_same_number_of_texts(
    tmp_path_factory: pytest.TempPathFactory, has_text: list[bool], size: int
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.parquet"
    columns = {
        "label": [str(row) for row in range(len(has_text))],
        "text": ["t" if has else None for has in has_text],
    }
    pq.write_table(pa.table(columns, schema=LABELS), path)
    ranges = label_ranges(path, size)
    counts = [sum(has_text[first : first + rows]) for first, rows, _ in ranges]
    assert counts == [documents for _, _, documents in ranges]
    assert sum(counts) == sum(has_text)
    assert all(count == size for count in counts[:-1])
    assert all(0 < count <= size for count in counts)


@given(st.lists(st.none() | st.lists(st.integers(0, 6), max_size=5), max_size=8), st.integers(0, 3))
def test_labels_become_sets(rows: list[list[int] | None], skip: int) -> None:
    task: Any = SimpleNamespace(num_labels=7, source="x")
    column = pa.array(rows, pa.list_(pa.int64()))[skip:]
    sets = tokenizing._label_sets(column, task)
    assert sets.type == pa.list_(pa.int32())
    assert sets.to_pylist() == [sorted(set(row or [])) for row in rows[skip:]]


@given(st.lists(st.integers(0, 9), max_size=60))
def test_quantiles_of_lengths(lengths: list[int]) -> None:
    counts = Lengths(np.bincount(np.array(lengths, int), minlength=10).astype(np.int64), 0)
    figures = counts.figures()
    assert figures["max"] == max(lengths, default=0)
    assert figures["tokens"] == sum(lengths)
    for name, share in (("median", 0.5), ("p95", 0.95)):
        below = sum(length <= figures[name] for length in lengths)
        assert below >= share * len(lengths)
        assert not lengths or sum(length < figures[name] for length in lengths) < share * len(lengths)
