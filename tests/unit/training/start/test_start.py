"""A training that begins with another model: which rows it takes over, and what it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.encoders import HIDDEN
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.encoder import load
from xmcpipe.modeling.frequent import OFF
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model, ModelShape, build_model
from xmcpipe.modeling.saved import save_model
from xmcpipe.ops.word_layer import NO_WORD
from xmcpipe.pieces import Pieces
from xmcpipe.training.initial.shared_rows import merged_words
from xmcpipe.training.initial.start import Start

OLD = [f"old {number}" for number in range(8)] + ["both 1", "both 2", "both 3", "both 4"]
NEW = ["both 4", "both 3", "new 1", "both 2", "new 2", "both 1"]
OLD_CODES, NEW_CODES = np.arange(10, 40, dtype=np.uint32), np.arange(20, 60, 2, dtype=np.uint32)


def model_of(
    encoder: Path,
    names: list[str],
    codes: np.ndarray[Any, np.dtype[np.uint32]],
    seed: int,
    frequent: list[int],
) -> Model:
    """A model with random weights, words and biases, and a head of its own for the labels `frequent`."""
    head = HeadShape("ffi", HIDDEN, len(names), 6, bias=True, seed=seed, word_fan_in=3)
    wide = replace(head, num_labels=len(frequent), fan_in=HIDDEN, word_fan_in=5, seed=seed + 1)
    shape = ModelShape(
        head, "mean", num_words=len(codes), word_kind="words", frequent=wide if frequent else None
    )
    torch.manual_seed(seed)
    model = build_model(load(str(encoder)), shape, draw=True)
    assert model.words is not None
    model.words.set(codes, np.ones(len(codes), np.float32))
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for each in model.heads:
            layer = each.word_layer
            assert layer is not None
            assert each.bias is not None
            rows = [random.permutation(len(codes))[: layer.index.shape[1]] for _ in range(each.num_labels)]
            layer.index.copy_(torch.from_numpy(np.stack(rows).astype(np.uint16)))
            layer.weight.copy_(torch.randn(layer.weight.shape))
            each.bias.copy_(torch.randn(each.num_labels))
        for parameter in model.encoder.parameters():
            parameter.add_(0.01 * seed)
        if model.frequent is not None:
            model.frequent.take(torch.tensor(frequent), model.head)
    return model


def saved(folder: Path, model: Model, names: list[str]) -> Path:
    save_model(folder, model, Pieces(16), {})
    pq.write_table(
        pa.table({"label": names, "text": pa.nulls(len(names), pa.string())}), folder / "labels.parquet"
    )
    return folder


def dense_row(model: Model, label: int) -> tuple[Tensor, float, dict[int, float]]:
    """Weights of all features, bias, and weight of each word by its code, of a label."""
    head, row = model.head, label
    if model.frequent is not None and label in model.frequent.labels.tolist():
        assert head.bias is not None
        assert head.bias[label] == OFF
        head, row = model.frequent.head, model.frequent.labels.tolist().index(label)
    assert model.words is not None
    assert head.bias is not None
    layer = head.word_layer
    assert layer is not None
    weights = torch.zeros(HIDDEN)
    weights[head.index[row].long()] = head.weight[row].detach()
    codes = model.words.codes
    words = {
        int(codes[word]): float(value)
        for word, value in zip(layer.index[row].tolist(), layer.weight[row].tolist(), strict=True)
        if word != NO_WORD
    }
    return weights, float(head.bias.detach()[row]), words


# both 1 is sparse in both, both 2 becomes frequent, both 3 is frequent in both, both 4 is so no longer.
@pytest.fixture
def old(tiny_encoder: Path) -> Model:
    return model_of(tiny_encoder, OLD, OLD_CODES, 1, frequent=[10, 11])


@pytest.fixture
def new(tiny_encoder: Path) -> Model:
    return model_of(tiny_encoder, NEW, NEW_CODES, 2, frequent=[1, 3])


def test_rows_of_shared_labels_are_taken_over(old: Model, new: Model, tmp_path: Path) -> None:
    before = {name: dense_row(new, row) for row, name in enumerate(NEW)}
    folder = saved(tmp_path / "old", old, OLD)
    assert Start.read(folder, NEW).copy_to(new, frozen=False) == 4
    for row, name in enumerate(NEW):
        weights, bias, words = dense_row(new, row)
        if name in ("new 1", "new 2", "both 4"):
            same, same_bias, same_words = before[name]
            assert torch.equal(weights, same)
            assert (bias, words) == (same_bias, same_words)
            continue
        expected, expected_bias, expected_words = dense_row(old, OLD.index(name))
        assert torch.equal(weights, expected)
        assert bias == expected_bias
        kept = {code: value for code, value in expected_words.items() if code in NEW_CODES}
        assert kept.items() <= words.items()
        others = set(words) - set(kept)
        assert others <= set(before[name][2])  # words that were chosen for the label
        assert all(words[code] == 0.0 for code in others)
        assert len(words) == len(before[name][2])


def test_the_encoder_is_taken_over_unless_it_is_frozen(old: Model, new: Model, tmp_path: Path) -> None:
    folder = saved(tmp_path / "old", old, OLD)
    with pytest.raises(XmcpipeError, match=r"the encoder of .*old was trained, and is not that of the embed"):
        Start.read(folder, NEW).copy_to(new, frozen=True)
    Start.read(folder, NEW).copy_to(new, frozen=False)
    for name, tensor in old.encoder.state_dict().items():
        assert torch.equal(new.encoder.state_dict()[name], tensor), name
    Start.read(folder, NEW).copy_to(new, frozen=True)  # it is the same one now


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fan_in": 7}, "expected head.fan_in = 6, as in"),
        ({"bias": False}, "expected head.bias = True, as in"),
        ({"kind": "dense", "word_fan_in": 0}, "expected head.kind = 'ffi', as in"),
        ({"group": 2}, "expected head.group = 1, as in"),
    ],
)
def test_another_kind_of_head_is_refused(
    old: Model, tiny_encoder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = saved(tmp_path / "old", old, OLD)
    shape = replace(HeadShape("ffi", HIDDEN, len(NEW), 6, bias=True), **changes)
    model = build_model(load(str(tiny_encoder)), ModelShape(shape, "mean"), draw=True)
    with pytest.raises(XmcpipeError, match=message) as error:
        Start.read(folder, NEW).copy_to(model, frozen=False)
    assert "\n" not in str(error.value)


def test_another_encoder_is_refused(old: Model, tmp_path: Path) -> None:
    from tests.encoders import write_encoder

    folder = saved(tmp_path / "old", old, OLD)
    other = tmp_path / "encoder"
    write_encoder(other, [f"other{number}" for number in range(300)])
    model = build_model(
        load(str(other)), ModelShape(HeadShape("ffi", HIDDEN, 6, 6, bias=True), "mean"), draw=True
    )
    with pytest.raises(XmcpipeError, match=r"expected the encoder of .*, got one that differs in embeddings"):
        Start.read(folder, NEW).copy_to(model, frozen=False)


word_rows = st.lists(st.one_of(st.integers(0, 9), st.just(NO_WORD)), min_size=4, max_size=4).filter(
    lambda row: (
        len([word for word in row if word != NO_WORD]) == len({word for word in row if word != NO_WORD})
    )
)


@given(kept=word_rows, chosen=word_rows, weights=st.lists(st.floats(-4, 4, width=32), min_size=4, max_size=4))
def test_kept_words_come_first_and_no_word_is_twice(
    kept: list[int], chosen: list[int], weights: list[float]
) -> None:
    words, values = merged_words(np.array([kept]), np.array([weights], np.float32), np.array([chosen])[:, :3])
    order = sorted(
        [(word, weight) for word, weight in zip(kept, weights, strict=True) if word != NO_WORD],
        key=lambda pair: -abs(pair[1]),
    )
    others = [(word, 0.0) for word in chosen[:3] if word != NO_WORD and word not in kept]
    expected = [*order, *others][:3]
    found = [(w, v) for w, v in zip(words[0].tolist(), values[0].tolist(), strict=True) if w != NO_WORD]
    assert sorted(found) == sorted(expected) or [abs(v) for _, v in found] == [abs(v) for _, v in expected]
    assert len({word for word, _ in found}) == len(found)
