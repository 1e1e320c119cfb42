"""What the machine code must have for the kernels' speed: wide accesses, tensor cores, nothing in local
memory.
"""

from collections.abc import Iterable

import pytest

from tests.kernels.sass.disassembly import disassemble, unavailable_reason
from xmcpipe.ops.nvrtc import compiler
from xmcpipe.ops.nvrtc.kernel_table import KERNELS

pytestmark = [
    pytest.mark.skipif(unavailable_reason() is not None, reason=unavailable_reason() or ""),
    pytest.mark.usefixtures("needs_nvrtc"),
]
WIDE_LOAD, WIDE_STORE, WIDE_ROWS = "LDG.E.128", "STG.E.128", "LDS.128"
WIDE_COPY = "LDGSTS.E.BYPASS.128"  # cp.async, past the L1 cache
TENSOR, MATRICES, WARPGROUP = "HMMA.16816.F32.BF16", "LDSM", "HGMMA.64x128x16.F32.BF16"
# What each entry has, with these macros besides the defaults.
EXPECTED: dict[str, tuple[dict[str, int], set[str]]] = {
    "ffi_scores": ({"LOSS": 2}, {WIDE_LOAD, WIDE_STORE, WIDE_ROWS}),
    "ffi_grad_weight": ({"UPDATE": 1}, {WIDE_LOAD, WIDE_STORE, WIDE_ROWS}),
    "ffi_grad_features": ({}, {WIDE_LOAD, TENSOR, MATRICES}),
    "ffi_grad_features_sum": ({}, set()),
    "ffi_step": ({}, {WIDE_LOAD, WIDE_STORE, TENSOR, MATRICES}),
    "ffi_step_cluster": ({}, {WIDE_LOAD, WIDE_STORE, TENSOR, MATRICES}),
    "ffi_step_wgmma": ({}, {WIDE_LOAD, WIDE_STORE, WARPGROUP, "FENCE.VIEW.ASYNC"}),
    "ffi_step_sum": ({}, set()),
    "ffi_topk": ({}, {WIDE_LOAD, WIDE_ROWS}),
    "ffi_topk_merge": ({}, set()),
    "ffi_word_scores": ({}, {WIDE_LOAD, WIDE_STORE}),
    "ffi_word_update": ({}, {WIDE_LOAD}),
    "ffi_rewire": ({}, set()),
    "ffi_rewire_ties": ({}, {WIDE_LOAD}),
    "group_scores": ({}, {WIDE_COPY, TENSOR, MATRICES}),
    "group_grad_features": ({}, {WIDE_COPY, TENSOR, MATRICES}),
    "group_grad_weight": ({}, {WIDE_COPY, TENSOR, MATRICES}),
    "group_step": ({}, {WIDE_COPY, TENSOR, MATRICES}),
    "group_topk": ({}, {WIDE_COPY, TENSOR, MATRICES}),
}
NARROW_LOADS = {"LDG.E.U8", "LDG.E.U16", "LDG.E.S16"}
ONE_NUMBER_AT_A_TIME = {
    *("ffi_rewire", "ffi_word_scores", "ffi_word_update"),  # of rows, of active words
    *(
        "group_scores",
        "group_grad_weight",
        "group_step",
        "group_topk",
    ),  # the index, once for all labels of a group
}


def has(opcodes: Iterable[str], start: str) -> bool:
    """Whether one of the opcodes is `start`, with more modifiers or none."""
    return any(f"{opcode}.".startswith(f"{start}.") for opcode in opcodes)


def test_every_kernel_is_checked() -> None:
    assert EXPECTED.keys() == KERNELS.keys()


@pytest.mark.parametrize(
    ("entry", "architecture"),
    [(entry, name) for entry in EXPECTED for name in ("sm_80", "sm_90") if [*KERNELS[entry].variants(name)]],
)
def test_the_machine_code_has_what_the_kernel_needs(entry: str, architecture: str) -> None:
    macros, needed = EXPECTED[entry]
    variant = KERNELS[entry].variant(**macros)
    opcodes = {
        each.opcode for each in disassemble(compiler.compile_kernel(variant, architecture).code, entry)
    }
    missing = {start for start in needed if not has(opcodes, start)}
    assert not missing, f"expected {missing}, got {sorted(opcodes)}"
    assert not has(opcodes, "LDL"), "local memory is read"
    assert not has(opcodes, "STL"), "local memory is written"
    assert has(opcodes, "HMMA") == (TENSOR in needed)
    assert has(opcodes, "HGMMA") == (WARPGROUP in needed)
    if entry not in ONE_NUMBER_AT_A_TIME:
        assert not [start for start in NARROW_LOADS if has(opcodes, start)]


@pytest.mark.parametrize("cluster", [1, 2])
@pytest.mark.parametrize("features", [768, 384])
def test_products_of_a_warpgroup_run_in_fours(features: int, cluster: int) -> None:
    """If ptxas can't tell when sums are used, it waits after each product, and the log alone says so."""
    variant = KERNELS["ffi_step_wgmma"].variant(FEATURES=features, CLUSTER=cluster)
    cubin = compiler.compile_kernel(variant, "sm_90")
    products = [each for each in disassemble(cubin.code, "ffi_step_wgmma") if each.name == "HGMMA"]
    ends = [i for i, each in enumerate(products) if "gsb0" in each.operands]
    assert ends == list(range(3, len(products), 4))


@pytest.mark.parametrize("entry", ["ffi_step_cluster", "ffi_step_wgmma"])
def test_a_cluster_exchanges_gradients_by_wide_stores_and_barriers(entry: str) -> None:
    variant = KERNELS[entry].variant(CLUSTER=2)
    cubin = compiler.compile_kernel(variant, "sm_90")
    opcodes = {each.opcode for each in disassemble(cubin.code, entry)}
    assert has(opcodes, "ST.E.128"), "gradients go to the owner's shared memory"
    assert has(opcodes, "UCGABAR_ARV")
    assert has(opcodes, "UCGABAR_WAIT")
    assert not has(opcodes, "LDL")
    assert not has(opcodes, "STL")
