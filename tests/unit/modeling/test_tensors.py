"""Our safetensors files equal the library's; truncated files and other shapes are errors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import tensors
from xmcpipe.modeling.tensors import DTYPES, TensorFile, load, save

SHAPES = st.lists(st.integers(0, 5), max_size=3)
CASES = st.lists(st.tuples(SHAPES, st.sampled_from(sorted(DTYPES))), max_size=6)


def numbers(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    values = torch.randint(0, 2 if dtype == torch.bool else 100, tuple(shape))
    return values.to(torch.int32).to(dtype) if dtype in (torch.uint32, torch.uint64) else values.to(dtype)


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


@given(CASES, st.sampled_from([8, 64, 1 << 24]))
def test_the_library_and_our_code_read_each_others_files(
    tmp_path_factory: pytest.TempPathFactory, cases: list[tuple[list[int], str]], piece: int
) -> None:
    folder = tmp_path_factory.mktemp("tensors")
    tensors_by_name = {
        f"t{number}": numbers(shape, DTYPES[dtype]) for number, (shape, dtype) in enumerate(cases)
    }
    before, tensors.PIECE_BYTES = tensors.PIECE_BYTES, piece
    try:
        save(folder / "ours", tensors_by_name)
        safetensors.torch.save_file(tensors_by_name, folder / "theirs", metadata={"format": "pt"})
        for found in (
            safetensors.torch.load_file(folder / "ours"),
            load(folder / "ours"),
            load(folder / "theirs"),
        ):
            assert found.keys() == tensors_by_name.keys()
            for name, tensor in tensors_by_name.items():
                same(found[name], tensor)
    finally:
        tensors.PIECE_BYTES = before
    assert [path.name for path in folder.glob("*.part")] == []


def test_a_tensor_is_read_in_place_and_in_another_dtype(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(tensors, "PIECE_BYTES", 64)
    weight = torch.randn(9, 7, device=device)
    save(tmp_path / "t", {"weight": weight.bfloat16(), "rows": weight.T})
    file = TensorFile(tmp_path / "t")
    target = torch.nn.Linear(7, 9, device=device).weight
    address = target.data_ptr()
    file.read_into("weight", target)
    assert target.data_ptr() == address
    assert torch.equal(target, weight.bfloat16().float())
    assert file.read("weight", device).device == weight.device
    assert torch.equal(file.read("rows"), weight.T.cpu())
    with pytest.raises(XmcpipeError, match=r"weight: expected shape \[7, 9\], got \[9, 7\]"):
        file.read_into("weight", torch.empty(7, 9))


@pytest.mark.parametrize("length", [0, 4, 30, -1])
def test_a_truncated_file_is_an_error(tmp_path: Path, length: int) -> None:
    save(tmp_path / "t", {"a": torch.arange(5)})
    content = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(content[:length])
    with pytest.raises(XmcpipeError, match="can't be read as safetensors"):
        TensorFile(tmp_path / "t")


@pytest.mark.parametrize(
    "table",
    [
        {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "data_offsets": [0, 8]}},
        {"a": [1]},
        [1],
    ],
)
def test_a_header_that_contradicts_itself_is_an_error(tmp_path: Path, table: Any) -> None:
    header = json.dumps(table).encode()
    (tmp_path / "t").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(XmcpipeError, match="can't be read as safetensors"):
        TensorFile(tmp_path / "t")


def test_a_file_of_another_format_is_an_error_without_reading_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xff" * 100)
    with pytest.raises(XmcpipeError, match="its header is truncated"):
        load(tmp_path / "t")


def test_a_tensor_that_the_file_lacks_is_one_clear_line(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", {"a": torch.zeros(2)})
    file = TensorFile(tmp_path / "a.safetensors")
    for read in (lambda: file.read("b"), lambda: file.read_into("b", torch.zeros(2))):
        with pytest.raises(XmcpipeError, match=r"a.safetensors: expected a tensor b, got none"):
            read()
