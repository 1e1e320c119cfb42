"""The table of kernels: variants, budgets, architectures."""

import dataclasses

import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES, COMMON_ARCHITECTURES, require_architecture
from xmcpipe.ops.nvrtc.group_kernels import GROUP_KERNELS
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.variant import Kernel, Macros


def from_ampere_on_with_a_loss_of_32_rows(macros: Macros, architecture: int) -> bool:
    return architecture >= 80 and (macros["LOSS"] == 0 or macros["ROWS"] == 32)


KERNEL = Kernel(
    "entry",
    threads=384,
    macros=(("WEIGHT", (1, 0, 2)), ("ROWS", (64, 32)), ("LOSS", (0, 1))),
    varied=(("WEIGHT", "LOSS"), ("ROWS", ("WEIGHT", (1, 2)))),
)


def test_a_variant_has_a_value_for_every_macro() -> None:
    assert KERNEL.variant(ROWS=32).macros == (("WEIGHT", 1), ("ROWS", 32), ("LOSS", 0))
    assert KERNEL.variant(LOSS=0) == KERNEL.variant() == next(KERNEL.variants("sm_90"))
    assert str(KERNEL.variant()) == "WEIGHT=1 ROWS=64 LOSS=0"
    assert str(Kernel("plain", threads=32).variant()) == "-"


@pytest.mark.parametrize("macros", [{"ROWS": 48}, {"GROUP": 1}])
def test_an_illegal_macro_is_refused(macros: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"entry: expected .*, got"):
        KERNEL.variant(**macros)


def test_each_group_of_macros_is_compiled_ahead_in_full_and_no_more() -> None:
    variants = list(KERNEL.variants("sm_90"))
    assert len(variants) == len(set(variants)) == 3 * 2 + 2
    assert {variant.macros for variant in variants} >= {
        (("WEIGHT", weight), ("ROWS", 64), ("LOSS", loss)) for weight in range(3) for loss in range(2)
    }
    assert {KERNEL.variant(ROWS=32), KERNEL.variant(ROWS=32, WEIGHT=2)} <= set(variants)
    assert KERNEL.variant(ROWS=32, WEIGHT=0) not in variants
    assert KERNEL.variant(ROWS=32, LOSS=1) not in variants


def test_the_first_group_is_that_of_the_formats() -> None:
    formats = list(KERNEL.variants("sm_90", formats_only=True))
    assert formats == list(KERNEL.variants("sm_90"))[:6]
    for kernel in KERNELS.values():
        names = [each if isinstance(each, str) else each[0] for each in (*kernel.varied, ())[0]]
        choosing = {"WEIGHT", "FEATURE", "MOMENT"} & set(dict(kernel.macros))
        assert choosing <= set(names), kernel.entry


def test_variants_that_are_not_allowed_are_not_compiled_ahead() -> None:
    kernel = dataclasses.replace(KERNEL, allows=from_ampere_on_with_a_loss_of_32_rows)
    assert list(kernel.variants("sm_75")) == []
    assert {dict(variant.macros)["LOSS"] for variant in kernel.variants("sm_100")} == {0}


@pytest.mark.parametrize(
    ("threads", "blocks", "registers"),
    [(64, 1, 255), (256, 1, 255), (256, 2, 128), (384, 1, 168), (1024, 1, 64)],
)
def test_blocks_fit_the_register_file(threads: int, blocks: int, registers: int) -> None:
    assert Kernel("entry", threads=threads, blocks=blocks).variant().max_registers == registers
    macros = (("THREADS", (threads,)), ("BLOCKS", (blocks,)))
    assert Kernel("entry", threads=32, macros=macros).variant().max_registers == registers
    assert threads * blocks * registers <= 65_536


def test_the_error_for_an_unknown_architecture_lists_the_known_ones() -> None:
    assert require_architecture("sm_90") == "sm_90"
    with pytest.raises(XmcpipeError, match=r"unknown architecture 'sm_91' .known: sm_75, .* sm_121"):
        require_architecture("sm_91")
    assert set(COMMON_ARCHITECTURES) <= set(ARCHITECTURES)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=lambda kernel: kernel.entry)
def test_the_table_is_sound(kernel: Kernel) -> None:
    assert KERNELS[kernel.entry] is kernel
    assert all(variant.threads % 32 == 0 for variant in kernel.variants("sm_90"))
    # A macro that is in no group would be compiled for its default only.
    varied = {each if isinstance(each, str) else each[0] for group in kernel.varied for each in group}
    assert varied == set(dict(kernel.macros))


def test_every_architecture_has_variants() -> None:
    for architecture in COMMON_ARCHITECTURES:
        lacking = [each.entry for each in KERNELS.values() if not list(each.variants(architecture))]
        on_tensor_cores = ["ffi_step", "ffi_step_cluster", *(each.entry for each in GROUP_KERNELS)]
        of_hopper = [] if architecture == "sm_90" else ["ffi_step_wgmma"]
        assert {*lacking} - {*on_tensor_cores} == {*of_hopper}, architecture
        assert not {*lacking} & {*on_tensor_cores} or architecture == "sm_75"
