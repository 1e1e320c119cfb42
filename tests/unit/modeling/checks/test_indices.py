"""Indices out of range never reach a kernel: random bytes in a saved model are an error or a right result."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import encoder, heads
from xmcpipe.modeling.frequent import FrequentLabels
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.saved import load_model, save_model
from xmcpipe.modeling.words import WordSource
from xmcpipe.pieces import Pieces

LABELS, FEATURES, WORDS = 30, 32, 50
INDICES = ("head.index", "head.word_index", "frequent.head.index", "frequent.head.word_index")
CHECKED = (*INDICES, "words.codes", "frequent.labels")

# Loads each model in a process of its own, so that a segmentation fault would be seen.
LOAD_ALL = """
import sys, pathlib, torch
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.saved import load_model
from xmcpipe.ops.word_layer import BatchWords
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        model, _ = load_model(folder)
    except XmcpipeError as error:
        print("error", folder.name, error)
        continue
    features = torch.ones(2, 32)
    words = BatchWords.of(torch.tensor([0, 1]), torch.ones(2), torch.tensor([0, 1]), 2)
    for head in model.heads:
        print("scores", folder.name, float(head.scores(features, 0, head.num_labels, words).sum()))
"""


@pytest.fixture
def model(tiny_encoder: Path) -> Model:
    """A model with all kinds of indices: the tiny encoder, words, and a head for two frequent labels."""
    torch.manual_seed(0)
    head = heads.build(HeadShape("ffi", FEATURES, LABELS, 8, bias=True, word_fan_in=4))
    head.reset_parameters()
    model = Model(encoder.load(str(tiny_encoder)), "mean", 0.0, 0, head, num_clusters=0)
    model.words = WordSource("words", WORDS)
    model.words.set(np.arange(WORDS, dtype=np.uint32) * 3, np.ones(WORDS, np.float32))
    model.frequent = FrequentLabels(HeadShape("ffi", FEATURES, 2, FEATURES, bias=True, word_fan_in=6), "cpu")
    model.frequent.head.reset_parameters()
    model.frequent.take(torch.tensor([3, 20]), head)
    for one in model.heads:
        layer = one.word_layer
        assert layer is not None
        layer.index.copy_(torch.arange(layer.index.shape[1]).to(torch.uint16).expand(layer.index.shape))
        layer.index[0, 1:] = 65_535  # a label may read fewer words
    return model


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(folder, model, Pieces(16), {})
    return folder


def overwrite(path: Path, name: str, content: bytes, at: int = 0) -> None:
    """Replace bytes of one tensor of a safetensors file."""
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    begin, end = json.loads(data[8 : 8 + length])[name]["data_offsets"]
    content = content[: end - begin - at]
    data[8 + length + begin + at : 8 + length + begin + at + len(content)] = content
    path.write_bytes(data)


def test_a_sound_model_is_loaded(saved: Path) -> None:
    load_model(saved)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("head.index", np.array([FEATURES], np.uint16), "expected values below 32, got 32 for label 0"),
        ("frequent.head.index", np.array([1, 1], np.uint16), "different values .*, got 1 twice for label 0"),
        ("head.word_index", np.array([WORDS], np.uint16), "expected values below 50, got 50 for label 0"),
        ("head.word_index", np.array([7, 7], np.uint16), "different values .*, got 7 twice for label 0"),
        ("frequent.head.word_index", np.array([65_534], np.uint16), "expected values below 50, got 65,534"),
        ("words.codes", np.array([-1], np.int64), "expected values from 0 to 4,294,967,295, got -1"),
        ("words.codes", np.array([3], np.int64), "expected ascending values without repeats"),
        ("frequent.labels", np.array([LABELS, LABELS + 1], np.int64), "expected values from 0 to 29, got 31"),
        ("frequent.labels", np.array([20], np.int64), "expected ascending values without repeats"),
    ],
)
def test_a_bad_index_is_an_error_that_names_file_and_tensor(
    saved: Path, name: str, content: npt.NDArray[Any], message: str
) -> None:
    overwrite(saved / "model.safetensors", name, content.tobytes())
    with pytest.raises(XmcpipeError, match=rf"model\.safetensors: {name}: .*{message}"):
        load_model(saved)


def test_random_bytes_are_an_error_or_the_right_result(saved: Path, tmp_path: Path) -> None:
    rng, copies = np.random.default_rng(16), tmp_path / "copies"
    whole = (saved / "model.safetensors").read_bytes()
    for number, name in enumerate(CHECKED * 4):
        folder = copies / f"{number:02d}"
        folder.mkdir(parents=True)
        (folder / "encoder").symlink_to(saved / "encoder")
        (folder / "model.json").write_bytes((saved / "model.json").read_bytes())
        (folder / "model.safetensors").write_bytes(whole)
        overwrite(folder / "model.safetensors", name, rng.bytes(8), at=int(rng.integers(2)) * 8)
    process = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, str(copies)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert {line.split()[1] for line in lines} == {folder.name for folder in copies.iterdir()}
    assert sum(line.startswith("error") for line in lines) > 12  # of 24
    assert all("model.safetensors" in line for line in lines if line.startswith("error"))


def test_a_tensor_of_another_integer_type_is_an_error(saved: Path) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"U16"', b'"F16"'))
    with pytest.raises(XmcpipeError, match="expected U16, got F16"):
        load_model(saved)
