"""Arguments of a kernel by name: their types, and their widths in the memory that the driver reads."""

import ctypes
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops.nvrtc.arguments import Argument, ArgumentMemory, Signature, converter
from xmcpipe.ops.nvrtc.source import Parameter

CPU = torch.device("cpu")


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1), st.floats(width=32, allow_nan=False))
def test_each_argument_is_written_in_its_own_width(whole: int, seed: int, rate: float) -> None:
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
    memory = ArgumentMemory(Signature("entry", declared))
    memory.write(dict.fromkeys(("n", "seed", "bits"), 0), CPU)
    memory.write(named, CPU)
    places = (ctypes.c_void_p * len(declared)).from_address(memory.addresses)
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
    convert = converter(Parameter("x", type_, pointer=True))
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
    convert_any = converter(Parameter("scratch", "any", pointer=True))
    assert convert_any(torch.zeros(3, dtype=torch.uint8), CPU) > 0
