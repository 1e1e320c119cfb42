"""Our safetensors files are the library's, piece by piece; what is cut off or of another shape is refused."""

import json

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


def numbers(shape, dtype):
    values = torch.randint(0, 2 if dtype == torch.bool else 100, shape)
    return values.to(torch.int32).to(dtype) if dtype in (torch.uint32, torch.uint64) else values.to(dtype)


def same(one, other):
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    assert torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


@given(CASES, st.sampled_from([8, 64, 1 << 24]))
def test_the_library_reads_what_we_write_and_we_what_it_writes(tmp_path_factory, cases, piece):
    folder = tmp_path_factory.mktemp("tensors")
    given = {f"t{number}": numbers(shape, DTYPES[dtype]) for number, (shape, dtype) in enumerate(cases)}
    before, tensors.PIECE_BYTES = tensors.PIECE_BYTES, piece
    try:
        save(folder / "ours", given)
        safetensors.torch.save_file(given, folder / "theirs", metadata={"format": "pt"})
        for found in (
            safetensors.torch.load_file(folder / "ours"),
            load(folder / "ours"),
            load(folder / "theirs"),
        ):
            assert found.keys() == given.keys()
            for name, tensor in given.items():
                same(found[name], tensor)
    finally:
        tensors.PIECE_BYTES = before
    assert [path.name for path in folder.glob("*.part")] == []


def test_a_tensor_is_read_in_place_and_in_another_dtype(tmp_path, monkeypatch, device):
    monkeypatch.setattr(tensors, "PIECE_BYTES", 64)
    weight = torch.randn(9, 7, device=device)
    save(tmp_path / "t", {"weight": weight.bfloat16(), "rows": weight.T})
    file = TensorFile(tmp_path / "t")
    target = torch.nn.Linear(7, 9, device=device).weight
    place = target.data_ptr()
    file.read_into("weight", target)
    assert target.data_ptr() == place
    assert torch.equal(target, weight.bfloat16().float())
    assert file.read("weight", device).device == weight.device
    assert torch.equal(file.read("rows"), weight.T.cpu())
    with pytest.raises(XmcpipeError, match=r"weight has shape \[9, 7\], \[7, 9\] was wanted"):
        file.read_into("weight", torch.empty(7, 9))


@pytest.mark.parametrize("length", [0, 4, 30, -1])
def test_a_file_that_is_cut_off_is_refused(tmp_path, length):
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
def test_a_header_that_contradicts_itself_is_refused(tmp_path, table):
    header = json.dumps(table).encode()
    (tmp_path / "t").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(XmcpipeError, match="can't be read as safetensors"):
        TensorFile(tmp_path / "t")


def test_another_kind_of_file_is_refused_without_reading_it_all(tmp_path):
    (tmp_path / "t").write_bytes(b"\xff" * 100)
    with pytest.raises(XmcpipeError, match="its header is cut off"):
        load(tmp_path / "t")
