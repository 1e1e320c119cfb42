"""The text of a kernel in one piece, and its parameters."""

from pathlib import Path

import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.nvrtc import source
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.source import Parameter, parameters, text_of
from xmcpipe.ops.nvrtc.variant import Kernel, Macros, Variant

FORMATS = (("WEIGHT", (0, 1, 2)),)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of kernels in place of the package's."""
    monkeypatch.setattr(source, "FOLDERS", (tmp_path / "none", tmp_path))
    return tmp_path


def declared(folder: Path, declaration: str, **macros: int) -> tuple[Parameter, ...]:
    """The parameters of a kernel "add" with this parameter list."""
    (folder / "add.cu").write_text(
        f'extern "C" __global__ void __launch_bounds__(256)\nadd({declaration}) {{}}'
    )
    source._text_of.cache_clear()
    return parameters(Kernel("add", threads=256, macros=FORMATS, optional=("bias",)).variant(**macros))


def test_includes_are_expanded_once_and_lines_keep_their_numbers(folder: Path) -> None:
    (folder / "a.cu").write_text('// a\n#include "b.cuh"\n#include "c.cuh"\nint a;\n')
    (folder / "b.cuh").write_text('#pragma once\n  # include "c.cuh"\nint b;\n')
    (folder / "c.cuh").write_text("#pragma once\nint c;\n")
    assert text_of("a.cu").splitlines() == [
        *('#line 1 "a.cu"', "// a"),
        *('#line 1 "b.cuh"', ""),
        *('#line 1 "c.cuh"', "", "int c;"),
        *('#line 3 "b.cuh"', "int b;"),
        '#line 3 "a.cu"',
        *('#line 4 "a.cu"', "int a;"),
    ]


def test_a_file_may_include_itself_by_way_of_another(folder: Path) -> None:
    (folder / "a.cuh").write_text('#include "b.cuh"\nint a;\n')
    (folder / "b.cuh").write_text('#include "a.cuh"\nint b;\n')
    assert text_of("a.cuh").count("int a;") == text_of("a.cuh").count("int b;") == 1


def test_a_missing_header_is_an_error(folder: Path) -> None:
    (folder / "lost.cu").write_text('#include "cuda_fp16.h"\n')
    with pytest.raises(FileNotFoundError, match="cuda_fp16"):
        text_of("lost.cu")


def test_an_installation_without_kernels_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "FOLDERS", (tmp_path / "none",))
    with pytest.raises(XmcpipeError, match="kernels are missing"):
        text_of("ffi_scores.cu")


def test_parameters_have_a_name_a_type_and_a_width(folder: Path) -> None:
    parsed = declared(
        folder,
        "const float* __restrict__ features_DB, const u16 *index_LK, float *bias, // the bias, or null\n"
        "    void* scratch, /* (two), parts */ int batch, i64 begin,\n    const u64 seed, float rate, u32 n",
    )
    assert [(each.name, each.type, each.pointer, each.bytes) for each in parsed] == [
        ("features_DB", "float32", True, 8),
        ("index_LK", "uint16", True, 8),
        ("bias", "float32", True, 8),
        ("scratch", "any", True, 8),
        ("batch", "int32", False, 4),
        ("begin", "int64", False, 8),
        ("seed", "uint64", False, 8),
        ("rate", "float32", False, 4),
        ("n", "uint32", False, 4),
    ]
    assert [each.name for each in parsed if each.optional] == ["bias"]


@pytest.mark.parametrize(("code", "name"), [(0, "float32"), (1, "bfloat16"), (2, "float16")])
def test_a_format_is_that_of_its_macro(folder: Path, code: int, name: str) -> None:
    (parameter,) = declared(folder, "const weight_t* weight_LK", WEIGHT=code)
    assert parameter == Parameter("weight_LK", name, pointer=True)


def test_a_format_may_be_another_rule(folder: Path) -> None:
    def half(macros: Macros) -> int:
        return max(macros["WEIGHT"], 1)

    (folder / "add.cu").write_text('extern "C" __global__ void add(held_t* held_LK) {}')
    source._text_of.cache_clear()
    kernel = Kernel("add", threads=256, macros=FORMATS, formats=(("held_t", half),))
    assert [parameters(kernel.variant(WEIGHT=code))[0].type for code in range(3)] == [
        *("bfloat16", "bfloat16", "float16")
    ]


@pytest.mark.parametrize(
    "declaration", ["Sgd by", "float** rows", "feature_t* x", "void nothing", "u16 half", "weight_t weight"]
)
def test_a_type_that_has_no_width_here_is_refused(folder: Path, declaration: str) -> None:
    with pytest.raises(ValueError, match=r"add\.cu: add has a parameter of unknown type"):
        declared(folder, declaration, WEIGHT=1)


def test_a_missing_entry_is_refused(folder: Path) -> None:
    (folder / "add.cu").write_text('// extern "C" __global__ void add(int n)\n__global__ void add(int n) {}')
    source._text_of.cache_clear()
    with pytest.raises(ValueError, match=r"has no extern .C. __global__ void add"):
        parameters(Kernel("add", threads=256).variant())


@pytest.mark.parametrize(
    "variant", [variant for kernel in KERNELS.values() for variant in kernel.variants("sm_90")], ids=str
)
def test_the_parameters_of_every_kernel_can_be_read(variant: Variant) -> None:
    parsed = parameters(variant)
    assert parsed
    names = [each.name for each in parsed]
    assert len(set(names)) == len(names)
    assert set(variant.kernel.optional) <= {each.name for each in parsed if each.pointer}
