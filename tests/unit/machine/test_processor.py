"""What a processor multiplies: read from Linux's list of its extensions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xmcpipe.machine import processor
from xmcpipe.machine.processor import cpu_flags, multiplies

ZEN_3 = "processor\t: 0\nflags\t\t: fpu sse2 avx2 sha_ni\n\nprocessor\t: 1\nflags\t\t: amx_bf16\n"
ZEN_4 = "flags\t\t: avx512f avx512_bf16\n"
SAPPHIRE_RAPIDS = "flags\t\t: avx512_fp16 amx_bf16 amx_tile\n"
GRAVITON_3 = "processor\t: 0\nFeatures\t: fp asimd asimdhp bf16 i8mm\n"


@pytest.fixture(autouse=True)
def _read_again() -> Iterator[None]:
    cpu_flags.cache_clear()
    yield
    cpu_flags.cache_clear()


@pytest.mark.parametrize(
    ("cpuinfo", "multiplied"),
    [
        (ZEN_3, {"float32"}),
        (ZEN_4, {"float32", "bfloat16"}),
        (SAPPHIRE_RAPIDS, {"float32", "bfloat16", "float16"}),
        (GRAVITON_3, {"float32", "bfloat16"}),
        ("", {"float32"}),
        ("flags\n", {"float32"}),
        (None, {"float32"}),
    ],
)
def test_types_that_are_multiplied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None, multiplied: set[str]
) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", path)
    assert {dtype for dtype in ("float32", "bfloat16", "float16") if multiplies(dtype)} == multiplied
