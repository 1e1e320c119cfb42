"""Arguments of a kernel by name: their types and widths, and how cuda-core would pass them to the driver."""

import ctypes
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops.nvrtc.arguments import Argument, Signature, packer
from xmcpipe.ops.nvrtc.source import Parameter

CPU = torch.device("cpu")


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1), st.floats(width=32, allow_nan=False))
def test_cuda_core_passes_each_argument_in_its_own_width(whole: int, seed: int, rate: float) -> None:
    handler = pytest.importorskip("cuda.core._kernel_arg_handler", exc_type=ImportError)
    x = torch.zeros(4)
    declared = [
        Parameter("x", "float32", pointer=True),
        Parameter("n", "int32", pointer=False),
        Parameter("seed", "uint64", pointer=False),
        Parameter("rate", "float32", pointer=False),
        Parameter("words", "uint32", pointer=True, optional=True),
        Parameter("bits", "uint32", pointer=False),
    ]
    named: dict[str, Argument] = {"x": x, "n": whole, "seed": seed, "rate": rate, "bits": seed % 2**32}
    holder = handler.ParamHolder(tuple(Signature("entry", declared).pack(named, CPU)))
    places = (ctypes.c_void_p * len(declared)).from_address(holder.ptr)
    types: list[Any] = [
        ctypes.c_uint64,
        ctypes.c_int32,
        ctypes.c_uint64,
        ctypes.c_float,
        ctypes.c_uint64,
        ctypes.c_uint32,
    ]
    values = [type_.from_address(place).value for type_, place in zip(types, places, strict=True)]
    assert values == [x.data_ptr(), whole, seed, rate, 0, seed % 2**32]


@pytest.mark.parametrize(
    ("type_", "dtypes"),
    [
        ("uint16", (torch.uint16, torch.int16)),
        ("uint32", (torch.uint32, torch.int32)),
        ("uint64", (torch.uint64, torch.int64)),
        ("int64", (torch.int64,)),
        ("bfloat16", (torch.bfloat16,)),
        ("float16", (torch.float16,)),
    ],
)
def test_a_pointer_takes_its_type_and_bits_of_either_sign(
    type_: str, dtypes: tuple[torch.dtype, ...]
) -> None:
    convert = packer(Parameter("x", type_, pointer=True))
    for dtype in (
        torch.uint16,
        torch.int16,
        torch.uint32,
        torch.int32,
        torch.int64,
        torch.uint64,
        torch.float32,
    ):
        x = torch.zeros(4, dtype=dtype)
        if dtype in dtypes:
            assert convert(x, CPU) == x.data_ptr()
        else:
            with pytest.raises(ValueError, match=f"expected x contiguous {type_}"):
                convert(x, CPU)
    convert_any = packer(Parameter("scratch", "any", pointer=True))
    assert convert_any(torch.zeros(3, dtype=torch.uint8), CPU) > 0
