"""The geometry of the CUDA kernels as pure functions: designs, chunks, and bounds of workspaces."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops.cuda import pass_geometry
from xmcpipe.ops.cuda.geometry import (
    CHUNK_MULTIPLE,
    GRADIENT_ROWS,
    MAX_GRADIENT_BLOCKS,
    SUM_BYTES,
    WAVE_LABELS,
    Card,
    LayerShape,
    chunk_labels,
    chunk_workspace_bytes,
    gradient_geometry,
    gradient_rows,
    max_gradient_bytes,
    persistent_blocks,
)
from xmcpipe.ops.cuda.pass_geometry import (
    cluster_geometries,
    max_partials,
    max_step_workspace_bytes,
    one_pass,
    pass_workspace_bytes,
    warpgroup_geometries,
)
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES

H100 = Card(132, cache_bytes=50 << 20, shared_bytes=ARCHITECTURES["sm_90"], capability=(9, 0))
T4 = Card(40, cache_bytes=4 << 20, shared_bytes=ARCHITECTURES["sm_75"], capability=(7, 5))
A100 = Card(108, cache_bytes=40 << 20, shared_bytes=ARCHITECTURES["sm_80"], capability=(8, 0))
RTX_5090 = Card(170, cache_bytes=96 << 20, shared_bytes=ARCHITECTURES["sm_120"], capability=(12, 0))
SIZES = ("CLUSTER", "BATCH", "FEATURES", "TILE")
BLOCKS = st.integers(1, MAX_GRADIENT_BLOCKS)


def make(
    num_rows: int = 64,
    num_features: int = 768,
    num_labels: int = 670_091,
    fan_in: int = 128,
    feature: torch.dtype = torch.bfloat16,
    weight: torch.dtype = torch.bfloat16,
) -> LayerShape:
    return LayerShape(num_rows, num_features, num_labels, fan_in, feature, weight)


@pytest.mark.parametrize(
    ("shape", "card", "expected"),
    [
        (make(), H100, True),
        (make(), T4, False),  # no tensor cores for bfloat16
        (make(fan_in=48), H100, True),
        (make(fan_in=40), H100, False),  # gathering is faster
        (make(num_rows=65), H100, False),
        (make(feature=torch.float32), H100, False),
        (make(weight=torch.float16), H100, False),
        (make(feature=torch.float16, weight=torch.float16), H100, True),
    ],
)
def test_the_design_depends_on_shape_dtypes_and_card(shape: LayerShape, card: Card, expected: bool) -> None:
    geometry = one_pass(shape, card)
    assert (geometry is not None) == expected
    if geometry is not None:
        assert geometry.shared_bytes <= card.shared_bytes
        assert geometry.partials(shape, resident=132) == 132
        assert geometry.partials(shape._replace(num_labels=1), resident=132) == 1


@pytest.mark.parametrize(
    ("shape", "card", "sizes"),
    [
        (make(num_rows=64), H100, (1, 64, 768, 32)),
        (make(num_rows=65), H100, (2, 64, 768, 32)),
        (make(num_rows=128, num_features=300), H100, (2, 64, 384, 32)),
        (make(num_rows=129), H100, (4, 64, 768, 32)),
        (make(num_rows=512, fan_in=256), H100, (8, 64, 768, 32)),
        (make(num_rows=513), H100, None),
        (make(num_rows=128, num_features=776), H100, None),
        (make(num_rows=128, fan_in=464), H100, (2, 64, 768, 32)),
        (make(num_rows=128, fan_in=480), H100, (2, 64, 768, 16)),  # fewer labels to receive gradients of
        (make(num_rows=128), A100, None),  # no clusters
        (make(num_rows=128, num_features=384), RTX_5090, (2, 64, 384, 16)),
        (make(num_rows=128), RTX_5090, (8, 16, 768, 16)),
        (make(num_rows=256), RTX_5090, None),
        (make(num_rows=128, feature=torch.float32), H100, None),
    ],
)
def test_a_cluster_has_as_few_blocks_as_fit(
    shape: LayerShape, card: Card, sizes: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks, and each block's rows, features and labels at a time."""
    found = next(cluster_geometries(shape, card), None)
    chosen = None if found is None else tuple(found.macros[name] for name in SIZES)
    assert chosen == sizes
    assert found is None or found.shared_bytes <= card.shared_bytes
    if shape.num_rows > 64:
        assert one_pass(shape, card) is None
        monkeypatch.setattr(pass_geometry, "CLUSTERS", True)
        assert one_pass(shape, card) == found


@pytest.mark.parametrize(
    ("shape", "card", "sizes"),
    [
        (make(), H100, (1, 768)),
        (make(num_rows=1, num_features=385), H100, (1, 768)),
        (make(num_features=384, fan_in=512), H100, (1, 384)),
        (make(num_rows=65), H100, (2, 768)),
        (make(num_rows=128, fan_in=192), H100, (2, 768)),
        (make(num_rows=128, fan_in=200), H100, None),  # gradients that a block receives
        (make(num_rows=128, num_features=384, fan_in=512), H100, (2, 384)),
        (make(num_rows=129), H100, None),
        (make(num_features=769), H100, None),
        (make(weight=torch.float16, feature=torch.float16), H100, None),
        (make(), H100._replace(capability=(10, 0)), None),  # another instruction
        (make(), A100, None),
    ],
)
def test_warpgroups_are_for_one_architecture(
    shape: LayerShape, card: Card, sizes: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of a cluster, and each block's features."""
    found = next(warpgroup_geometries(shape, card), None)
    assert (None if found is None else (found.cluster, found.macros["FEATURES"])) == sizes
    assert found is None or found.shared_bytes <= card.shared_bytes
    before = one_pass(shape, card)
    monkeypatch.setattr(pass_geometry, "WARPGROUPS", True)
    assert one_pass(shape, card) == (found or before)


def test_the_bound_follows_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = make(num_rows=512)
    by_chunks = max_step_workspace_bytes(shape, H100, 32_768)
    monkeypatch.setattr(pass_geometry, "CLUSTERS", True)
    geometry = one_pass(shape, H100)
    assert geometry is not None
    assert geometry.partials(shape, resident=16 * 8) == 16
    assert geometry.partials(shape._replace(num_labels=40), resident=16 * 8) == 2
    assert max_partials(geometry, shape, H100) == 17  # of 132 / 8 clusters
    assert max_step_workspace_bytes(shape, H100, 32_768) == pass_workspace_bytes(shape, 17) < by_chunks


def test_a_chunk_fills_half_of_the_cache() -> None:
    shape = make(num_rows=256, num_features=512)
    chunk = chunk_labels(shape, H100, label_chunk=32_768)
    assert chunk % CHUNK_MULTIPLE == 0
    per_label = 128 * (2 + 2) + 4 * 256
    assert chunk * per_label <= H100.cache_bytes / 2 < (chunk + CHUNK_MULTIPLE) * per_label
    assert chunk_labels(shape, H100, label_chunk=100) == 100
    assert chunk_labels(shape._replace(num_labels=7), H100, label_chunk=32_768) == 7
    assert chunk_labels(make(num_rows=100_000), T4, label_chunk=32_768) == CHUNK_MULTIPLE


def test_the_last_wave_of_a_chunk_is_at_least_half_full() -> None:
    """At B 512 the cache has room for 9,216 labels of words and features: 1.09 waves of 132 x 64 labels."""
    wave = 132 * WAVE_LABELS
    large = make(num_rows=512)._replace(word_bytes=256)
    assert chunk_labels(large, H100, label_chunk=32_768) == wave == 8448
    for num_rows in range(8, 1025, 8):
        shape = make(num_rows=num_rows)
        chunk = chunk_labels(shape, H100, label_chunk=1 << 20)
        assert chunk < wave or chunk % wave in (0, *range(wave // 2, wave))
        bound = chunk_workspace_bytes(shape, H100, 1 << 20)
        assert 4 * chunk * (num_rows + (128 if num_rows > 64 else 0)) < bound


@given(
    st.integers(1, 1000), st.integers(8, 5000), st.integers(1, 100_000), st.integers(1, MAX_GRADIENT_BLOCKS)
)
def test_partial_gradients_stay_in_their_bound(
    num_rows: int, num_features: int, num_labels: int, blocks: int
) -> None:
    """The bound holds for any number of blocks that run at once, up to the largest."""
    grid = gradient_geometry(num_rows, num_features, num_labels, H100.multiprocessors * blocks)
    assert gradient_rows(num_rows) in GRADIENT_ROWS
    allocated = SUM_BYTES * grid.splits * num_rows * num_features
    assert allocated <= max_gradient_bytes(num_rows, num_features, H100)


def test_the_bound_follows_the_design() -> None:
    shape, chunked = make(), make(num_rows=72)
    geometry = one_pass(shape, H100)
    assert geometry is not None
    assert max_partials(geometry, shape, H100) == 132
    assert max_step_workspace_bytes(shape, H100, 32_768) == pass_workspace_bytes(shape, 132)
    by_chunks = chunk_workspace_bytes(chunked, H100, 32_768)
    assert max_step_workspace_bytes(chunked, H100, 32_768) == by_chunks


def test_a_persistent_grid_has_a_block_at_least_and_no_more_than_tiles() -> None:
    assert persistent_blocks(resident=264, tiles=1000, siblings=2) == 132
    assert persistent_blocks(resident=264, tiles=10) == 10
    assert persistent_blocks(resident=4, tiles=10, siblings=9) == 1
