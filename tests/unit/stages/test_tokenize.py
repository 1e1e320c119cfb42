"""`tokenize`: the ids of the tokenizer itself, in order, in shards of a fixed size, and clear errors."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from xmcpipe.config import from_table
from xmcpipe.data.schema import LABELS, RAW_DOCUMENTS
from xmcpipe.data.shards import encoding_pool, tokenizing
from xmcpipe.data.shards.files import Shards
from xmcpipe.data.shards.tokenizing import Lengths, label_ranges
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.tokenize import TOKENIZE, TokenizeConfig

WORDS = [f"w{number}" for number in range(40)]
POSITIONS = 32


def make_encoder(folder: Path, special: bool = True) -> Path:
    """A folder with a word-level tokenizer (a text's words are its tokens) and the config of a small BERT."""
    folder.mkdir(parents=True)
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=20)  # as some published encoders have it: it must not reach the shards
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    options = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    model = {"model_type": "bert", "vocab_size": len(vocabulary), "max_position_embeddings": POSITIONS}
    (folder / "config.json").write_text(json.dumps(model))
    return folder


def write_raw(
    folder: Path, train: list[tuple[str, list[int]]], labels: list[str | None], large: bool = False
) -> Path:
    """A raw artifact, its test split the first document of `train`; `large` as polars writes columns."""
    folder.mkdir(parents=True)
    for split, documents in (("train", train), ("test", train[:1])):
        columns = {
            "id": [f"{split}{number}" for number in range(len(documents))],
            "text": [text for text, _ in documents],
            "labels": [ids for _, ids in documents],
        }
        table = pa.table(columns, schema=RAW_DOCUMENTS)
        if large:
            types = [pa.large_string(), pa.large_string(), pa.large_list(pa.int32())]
            table = table.cast(pa.schema(list(zip(table.column_names, types, strict=True))))
        pq.write_table(table, folder / f"{split}.parquet", row_group_size=7)
    names = [f"label{number}" for number in range(len(labels))]
    pq.write_table(pa.table({"label": names, "text": labels}, schema=LABELS), folder / "labels.parquet")
    return folder


def documents(num: int, seed: int = 0) -> list[tuple[str, list[int]]]:
    random = np.random.default_rng(seed)
    return [
        (" ".join(random.choice(WORDS, random.integers(0, 12))), random.integers(0, 4, 3).tolist())
        for _ in range(num)
    ]


def lists(column: object) -> list[list[int]]:
    return [values.tolist() for values in unflatten(column)]


def unflatten(column: object) -> list[np.ndarray]:
    rows = np.arange(len(column.lengths))  # type: ignore[attr-defined]
    values, lengths = column.gather(rows)  # type: ignore[attr-defined]
    return np.split(values, np.cumsum(lengths)[:-1])


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return make_encoder(tmp_path / "encoder")


def run(config: TokenizeConfig, raw: Path, out: Path) -> tuple[dict, dict[str, int]]:
    out.mkdir()
    result = TOKENIZE.run(config, {"raw": raw}, out, out)
    return result.figures, result.rows


@pytest.mark.parametrize("large", [False, True])
def test_shards_hold_what_the_tokenizer_gives(tmp_path: Path, encoder: Path, large: bool) -> None:
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
    task = SimpleNamespace(num_labels=7, source="x")
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


def test_a_worker_ends_with_its_parent() -> None:
    script = (
        "import time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from xmcpipe.data.shards.encoding_pool import _start_worker\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, get_context('spawn'), _start_worker, (1,))\n"
        "    pool.submit(time.sleep, 0.01).result()\n"
        "    busy = pool.submit(time.sleep, 100)\n"
        "    print(*pool._processes, flush=True)\n"
        "    busy.result()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.kill()
    parent.wait()
    assert ends(worker, seconds=10)


def ends(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # ended; whoever adopted it has yet to collect it
            return True
        time.sleep(0.05)
    return False


def test_a_killed_worker_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding_pool, "encode_shard", signal.raise_signal)
    with pytest.raises(XmcpipeError, match="killed") as error:
        encoding_pool.encode_shards([signal.SIGKILL] * 2, 2, lambda number, lengths: None)  # type: ignore[list-item]
    assert "num_workers" in error.value.hint


def test_what_a_worker_raises_arrives_whole(tmp_path: Path, encoder: Path) -> None:
    raw = write_raw(tmp_path / "raw", [("w1", [0])] * 9 + [("w2", [4])], [None] * 3)
    config = TokenizeConfig(str(encoder), rows_per_shard=5, max_length=8, num_workers=2)
    with pytest.raises(XmcpipeError, match="expected label ids from 0 to 2, got 4") as error:
        run(config, raw, tmp_path / "out")
    assert error.value.hint == "run the download or import again"


def test_a_slow_tokenizer_is_refused(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "xmcpipe.modeling.encoder.load_tokenizer", lambda name: SimpleNamespace(is_fast=False)
    )
    with pytest.raises(XmcpipeError, match="only a slow tokenizer"):
        run(
            TokenizeConfig(str(encoder)),
            write_raw(tmp_path / "raw", documents(3), [None] * 4),
            tmp_path / "out",
        )


@pytest.mark.parametrize(
    ("max_length", "message"),
    [(2, "no room beside 2 special tokens"), (POSITIONS + 1, "takes at most 32 tokens")],
)
def test_a_length_that_cannot_be(tmp_path: Path, encoder: Path, max_length: int, message: str) -> None:
    raw = write_raw(tmp_path / "raw", documents(3), [None] * 4)
    with pytest.raises(XmcpipeError, match=message):
        run(TokenizeConfig(str(encoder), max_length=max_length), raw, tmp_path / "out")


def test_a_missing_column_and_an_unreadable_file(tmp_path: Path, encoder: Path) -> None:
    raw = write_raw(tmp_path / "raw", documents(3), [None] * 4)
    pq.write_table(pa.table({"id": ["a"], "labels": [[1]]}), raw / "test.parquet")
    with pytest.raises(XmcpipeError, match=r"test.parquet: expected a column 'text'"):
        run(TokenizeConfig(str(encoder), max_length=8), raw, tmp_path / "out")
    (raw / "labels.parquet").write_bytes(b"nonsense")
    with pytest.raises(XmcpipeError, match=r"labels.parquet can't be read as Parquet"):
        run(TokenizeConfig(str(encoder), max_length=8), raw, tmp_path / "out2")


@pytest.mark.parametrize("table", [{"max_length": 0}, {"rows_per_shard": 0}, {"num_workers": -1}])
def test_a_wrong_number_in_the_table(table: dict[str, int]) -> None:
    with pytest.raises(XmcpipeError, match=f"tokenize: {next(iter(table))}"):
        from_table(TokenizeConfig, {"encoder": "e", **table}, "tokenize")
