"""A value of a macro that a kernel has no branch for is a compile error, and not silently another branch."""

import pytest

from tests.kernels.host import kernel as host_kernel
from tests.kernels.host.kernel import HostKernel

UNKNOWN = [
    ("ffi_scores", {"LOSS": 3}, "LOSS"),
    ("ffi_scores", {"WEIGHT": 4}, "WEIGHT"),
    ("ffi_scores", {"FEATURE": 3}, "FEATURE"),
    ("ffi_scores", {"GROUP": 3}, "GROUP"),
    ("ffi_scores", {"SHARED": 2}, "SHARED"),
    ("ffi_scores", {"LOSS": 1, "INITIAL": 2}, "INITIAL"),
    ("ffi_scores", {"INITIAL": 1}, "INITIAL"),  # without a loss
    ("ffi_word_scores", {"BY_LABEL": 2}, "BY_LABEL"),
    ("ffi_word_update", {"GROUP": 3}, "GROUP"),
    ("ffi_grad_weight", {"UPDATE": 1, "MOMENTUM": 3}, "MOMENTUM"),
    ("ffi_grad_features", {"GRADIENT_PARTS": 3}, "GRADIENT_PARTS"),
    ("ffi_rewire", {"MOMENT": 3}, "MOMENT"),
    ("ffi_step", {"LOSS": 3}, "LOSS"),
    ("ffi_step", {"LOSS": 3, "WEIGHT": 2}, "LOSS"),
    ("ffi_step", {"LOSS": 1, "WEIGHT": 0}, "WEIGHT"),
    ("ffi_step", {"LOSS": 1, "GRADIENT_PARTS": 3}, "GRADIENT_PARTS"),
    ("ffi_step_cluster", {"LOSS": 1, "CLUSTER": 3}, "CLUSTER"),
    ("ffi_step_wgmma", {"LOSS": 1, "BATCH": 64, "TILE": 64, "WEIGHT": 2}, "WEIGHT"),
    ("ffi_step_wgmma", {"LOSS": 1, "BATCH": 64, "TILE": 64, "FEATURES": 640}, "FEATURES"),
    ("ffi_step_wgmma", {"LOSS": 1, "BATCH": 64, "TILE": 32}, "BATCH or TILE"),
    ("ffi_step_wgmma", {"LOSS": 1, "BATCH": 64, "TILE": 64, "CLUSTER": 4}, "CLUSTER"),
    ("group_scores", {"GROUP_SIZE": 4}, "GROUP_SIZE"),
    ("group_scores", {"WEIGHT": 0}, "WEIGHT"),
    ("group_grad_weight", {"WEIGHT": 3, "UPDATE": 1, "MOMENTUM": 1}, "MOMENTUM"),  # of 8 bits
    ("group_scores", {"INITIAL": 1}, "INITIAL"),  # without a loss
    ("group_grad_features", {"ROWS": 8}, "ROWS"),
    ("group_grad_features", {"PARTS": 3}, "PARTS"),
    ("group_grad_weight", {"PARTS": 3}, "PARTS"),
    ("group_step", {"LOSS": 1, "GROUP_SIZE": 8}, "GROUP_SIZE"),
    ("group_step", {"LOSS": 1, "BATCH": 16}, "BATCH"),
    ("group_step", {"LOSS": 1, "SLOTS": 32}, "SLOTS"),
    ("group_step", {"LOSS": 1, "STAGES": 2}, "STAGES"),
    ("group_step", {"LOSS": 3}, "LOSS"),
    ("group_grad_weight", {"UPDATE": 1, "MOMENTUM": 3}, "MOMENTUM"),
]


@pytest.mark.skipif(host_kernel.COMPILER is None, reason="no g++")
@pytest.mark.parametrize(("entry", "macros", "macro"), UNKNOWN, ids=str)
def test_an_unknown_value_is_a_compile_error(entry: str, macros: dict[str, int], macro: str) -> None:
    with pytest.raises(AssertionError, match=f"unknown {macro}: expected"):
        HostKernel(entry, macros)
