"""The workspace of the classifier's operators: measured by running them, and computed from shapes."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xmcpipe.memory.live_bytes import LiveBytes
from xmcpipe.memory.workspace import (
    classifier_workspace_bytes,
    growth_bytes,
    rewiring_bytes,
    workspace_on_cpu,
    workspace_on_gpu,
)
from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.ops.ffi import ffi_scores
from xmcpipe.ops.layer import Positives, Rewiring, SparseLayer
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
from xmcpipe.ops.rewire import rewire_by_
from xmcpipe.ops.step import ffi_step_
from xmcpipe.training.growth.choice import largest_unread
from xmcpipe.training.growth.gradient import AverageGradient, LabelledDocuments, chunk_labels
from xmcpipe.training.growth.ring import Ring

CPU, META = torch.device("cpu"), torch.device("meta")
B, D, L = 24, 96, 5000


def layer(
    fan_in: int, device: torch.device, labels: int = L, dtype: torch.dtype = torch.bfloat16
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, weight and index of zeros."""
    weight = torch.zeros(labels, fan_in, dtype=dtype, device=device)
    return (
        torch.zeros(B, D, device=device),
        weight,
        torch.zeros(weight.shape, dtype=torch.uint16, device=device),
    )


def step_arguments(fan_in: int, device: torch.device, labels: int = L) -> tuple[Any, ...]:
    pairs = [torch.zeros(7, dtype=torch.int64, device=device) for _ in range(2)]
    numbers = [torch.zeros((), device=device), torch.zeros((), device=device)]
    count = torch.zeros((), dtype=torch.int64, device=device)
    features, weight, index = layer(fan_in, device, labels)
    return (features, weight, index, None, None, *pairs, *numbers, count, "bce", 1e-4, 0.0, 0, 0, 1024)


@pytest.mark.parametrize("fan_in", [8, 64])  # few enough for the kernels that gather, and more
@pytest.mark.parametrize("step", [False, True])
def test_on_a_cpu_it_equals_the_allocation_of_the_operator(fan_in: int, step: bool) -> None:
    op = torch.ops.xmcpipe.ffi_step_.default if step else torch.ops.xmcpipe.ffi_scores.default
    real: tuple[Any, ...] = step_arguments(fan_in, CPU) if step else layer(fan_in, CPU)
    planned = workspace_on_cpu(op, step_arguments(fan_in, META) if step else layer(fan_in, META))
    meter = LiveBytes()
    with meter:
        results = (ffi_step_ if step else ffi_scores)(*real)
    assert planned == pytest.approx(meter.peak - meter.live, abs=64)
    assert planned > B * D * 4
    del results


@pytest.mark.parametrize("fan_in", [8, 64])
@pytest.mark.parametrize("step", [False, True])
def test_groups_allocate_what_is_planned(fan_in: int, step: bool) -> None:
    def arguments(device: torch.device) -> tuple[Any, ...]:
        values = list(step_arguments(fan_in, device) if step else layer(fan_in, device))
        values[2] = torch.zeros(-(-L // 16), fan_in, dtype=torch.uint16, device=device)
        return (*values, *[None] * 5, 16) if step else (*values, 16)

    name, call = ("ffi_step_", ffi_step_) if step else ("ffi_scores", ffi_scores)
    op = getattr(torch.ops.xmcpipe, name).default
    planned, meter = workspace_on_cpu(op, arguments(META)), LiveBytes()
    real = arguments(CPU)
    with meter:
        results = call(*real)
    assert planned == pytest.approx(meter.peak - meter.live, abs=64)
    # On a GPU torch computes groups, by dense tiles; a step has chunks of 1,024 labels.
    on_gpu = workspace_on_gpu(name, arguments(META))
    assert 4 * (1024 if step else L) * D <= on_gpu < 64 << 20
    del results


def test_on_a_gpu_the_kernels_of_groups_take_the_steps_in_16_bits() -> None:
    def planned(group: int, chunk: int, dtype: torch.dtype = torch.bfloat16, fan_in: int = 64) -> int:
        values = list(step_arguments(fan_in, META, 670_091))
        values[0] = torch.zeros(128, 768, dtype=dtype, device=META)
        values[2] = torch.zeros(-(-670_091 // group), fan_in, dtype=torch.uint16, device=META)
        return workspace_on_gpu("ffi_step_", (*values[:15], chunk, *[None] * 5, group))

    sums = 4 * 768 * 128
    # Features, a partial dX of each block (its shared memory at most), their sum, and gradients of a chunk.
    assert planned(16, 1024) == 2 * 768 * 128 + 132 * ARCHITECTURES["sm_90"] + sums + 2 * 1024 * 128
    assert planned(16, 4096) - planned(16, 1024) == 2 * 3072 * 128
    # Torch takes the others, by dense tiles: float32 features, groups and fan-ins that no kernel is made for.
    tile = 4 * 1024 * 768
    for other in (planned(16, 1024, torch.float32), planned(12, 1024), planned(16, 1024, fan_in=40)):
        assert tile <= other < 64 << 20
        assert other != planned(16, 1024)


def test_more_labels_than_one_slice_need_no_more_memory() -> None:
    op, few, many = torch.ops.xmcpipe.ffi_step_.default, 100_000, 100_000_000
    planned = [workspace_on_cpu(op, step_arguments(8, META, labels)) for labels in (few, many)]
    assert planned[0] == planned[1] < 64 << 20


def test_on_a_gpu_a_hundred_million_labels_need_no_more_than_a_chunk() -> None:
    small = classifier_workspace_bytes(128, 768, 670_091, 128, 2, 32_768)
    assert small == classifier_workspace_bytes(128, 768, 100_000_000, 128, 2, 32_768)
    assert classifier_workspace_bytes(128, 768, 100_000_000, 128, 2, 1024) < small < 100 << 20
    assert workspace_on_gpu("ffi_step_", step_arguments(8, META)) == classifier_workspace_bytes(
        B, D, L, 8, 2, 1024
    )


def test_one_pass_stores_no_gradients_of_a_chunk() -> None:
    """64 rows in 16 bits are processed in one pass; more rows, float32 or a smaller K use chunks."""
    one_pass, *chunks = (
        classifier_workspace_bytes(rows, 768, 670_091, fan_in, size, 32_768)
        for rows, fan_in, size in [(64, 64, 2), (72, 64, 2), (64, 64, 4), (64, 40, 2)]
    )
    assert one_pass == 2 * 64 * 768 + 132 * 4 * 64 * 768
    assert all(one_pass < one < 100 << 20 for one in chunks)


@pytest.mark.parametrize("name", ["ffi_scores", "ffi_grad_features", "ffi_grad_weight"])
def test_on_a_gpu_each_product_transposes_its_operand(name: str) -> None:
    features, weight, index = layer(8, META)
    gradient = torch.zeros(B, L, device=META)
    arguments = {
        "ffi_scores": (features, weight, index),
        "ffi_grad_features": (gradient, weight, index, D),
        "ffi_grad_weight": (gradient, features, index),
    }[name]
    assert workspace_on_gpu(name, arguments) >= 4 * B * (D if name == "ffi_scores" else L)


def test_on_a_gpu_words_are_padded_and_take_the_step_by_chunks() -> None:
    words, fan_in, padded = 300, 16, (B + 7) // 8 * 8
    weight = torch.zeros(L, fan_in, dtype=torch.bfloat16, device=META)
    index = torch.zeros(L, fan_in, dtype=torch.uint16, device=META)
    place = torch.zeros(65_536, dtype=torch.int32, device=META)
    values, rate = torch.zeros(words, B, device=META), torch.zeros(words, device=META)
    scores, of_values = torch.zeros(B, L, device=META), 4 * words * padded
    scoring = workspace_on_gpu("word_scores_", (scores, place, values, weight, index))
    updating = workspace_on_gpu("word_update_", (weight, index, place, values, scores, rate))
    assert of_values < scoring < of_values + (1 << 20)
    assert updating == scoring + 4 * L * padded
    arguments = step_arguments(8, META)
    with_words = workspace_on_gpu("ffi_step_", (*arguments, weight, index, place, values, rate))
    assert with_words == classifier_workspace_bytes(B, D, L, 8, 2, 1024, fan_in, words)
    assert with_words > workspace_on_gpu("ffi_step_", arguments)
    one_pass, chunks = (classifier_workspace_bytes(64, 768, 9000, 64, 2, 32_768, k, 0) for k in (0, 8))
    assert one_pass == 2 * 64 * 768 + 132 * 4 * 64 * 768
    assert chunks > one_pass


@pytest.mark.parametrize(("features", "labels"), [(768, 3000), (96, 5000), (96, 300)])
def test_growth_allocates_what_is_planned(features: int, labels: int) -> None:
    pairs = Positives(torch.randint(0, 640, (2000,)), torch.randint(0, labels, (2000,)).sort().values)
    head = heads.build(HeadShape("ffi", features, labels, 16, False))
    head.reset_parameters()
    ring = Ring(10, 64, features, CPU)
    for _ in range(10):
        ring.keep(
            np.arange(64), torch.randn(64, features), Positives(pairs.rows[:200] % 64, pairs.labels[:200])
        )
    layer, cut = SparseLayer(head.weight.data, head.index), Rewiring(0, 0, 0, 1, 0, features, 4)
    meter = LiveBytes()
    meter.count([*layer[:2], ring.features_RBD], "layer")
    before = meter.live
    with torch.no_grad(), meter:
        kept = ring.contents()
        documents = LabelledDocuments(kept.pairs, lambda rows: kept.features[rows], len(kept.rows))
        average = AverageGradient(head, "bce", kept, documents)
        rewire_by_(layer, [], cut, partial(_largest, average), chunk_labels(features))
    measured, planned = meter.peak - before, growth_bytes(labels, features, 2000)
    print(f"{features} features, {labels} labels: {measured:,} of {planned:,}")
    assert planned == pytest.approx(measured, rel=0.1)


def _largest(average: AverageGradient, labels: Tensor, index: Tensor, pruned: Tensor) -> Tensor:
    return largest_unread(average.of(labels), index, pruned)


def test_a_rewiring_is_bounded_except_for_ties_on_a_gpu() -> None:
    assert rewiring_bytes("cpu", 100_000_000, 768, 128) == rewiring_bytes("cpu", 1_000_000, 768, 128)
    assert rewiring_bytes("cuda", 100_000_000, 768, 128) == 16 * 100_000_000


def test_on_a_gpu_kernels_take_the_steps_of_8_bits() -> None:
    def planned(fan_in: int, group: int = 1, dtype: torch.dtype = torch.bfloat16, rows: int = 64) -> int:
        values = list(step_arguments(fan_in, META, 670_091))
        values[0] = torch.zeros(rows, 768, dtype=dtype, device=META)
        values[1] = values[1].to(torch.float8_e4m3fn)
        values[2] = torch.zeros(-(-670_091 // group), fan_in, dtype=torch.uint16, device=META)
        of_group = (*[None] * 5, group) if group > 1 else ()
        return workspace_on_gpu("ffi_step_", (*values[:15], 32_768, *of_group))

    # In one pass: features, and a partial dX of each block.
    assert planned(64) == 2 * 64 * 768 + 132 * 4 * 64 * 768
    # By chunks: few connections, more rows, or features of float32.
    for chunks in (planned(40), planned(64, rows=72), planned(64, dtype=torch.float32)):
        assert planned(64) < chunks < 100 << 20
    assert planned(64, 16) == 2 * 64 * 768 + 132 * ARCHITECTURES["sm_90"] + 4 * 768 * 64
    # Torch takes fan-ins that no kernel is made for.
    tile = 4 * 1024 * 768
    for other in (planned(60), planned(40, 16), planned(64, 16, torch.float32)):
        assert tile <= other
