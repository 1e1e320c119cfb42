"""Every kernel as compiled PTX, against float64; and faults in their text that no run of the text shows."""

import pytest

from tests.kernels.host import kernel as host_kernel
from tests.kernels.host.kernel import Macros
from tests.kernels.ptx.examples import EXAMPLES, Example
from tests.kernels.ptx.kernel import build_from_ptx
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.source import text_of

pytestmark = [
    pytest.mark.skipif(host_kernel.COMPILER is None, reason="no g++"),
    pytest.mark.usefixtures("as_ptx"),
]
BY_NAME = {example.name: example for example in EXAMPLES}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_kernel_is_right_and_has_no_race(example: Example) -> None:
    example.check()


def changed(monkeypatch: pytest.MonkeyPatch, source: str, before: str, after: str) -> None:
    """Build the kernels of a file with the first `before` of its text replaced."""
    text = text_of(source)
    assert before in text
    edited = text.replace(before, after, 1)

    def build(entry: str, macros: Macros) -> object:
        return build_from_ptx(entry, macros, edited if KERNELS[entry].source == source else None)

    monkeypatch.setattr(host_kernel, "build", build)


def test_swapped_operands_of_inline_assembly_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """g++ doesn't read inline assembly, so the text alone still gives the right sums."""
    example = BY_NAME["gradient of the features"]
    changed(monkeypatch, example.sources[0], '"r"(a[0]), "r"(a[1])', '"r"(a[1]), "r"(a[0])')
    with pytest.raises(AssertionError):
        example.check()


def test_a_missing_barrier_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    example = BY_NAME["gradient of the features"]
    changed(monkeypatch, example.sources[0], "__syncthreads();  // all of the tile is zero", "// ")
    with pytest.raises(AssertionError, match=r"race of two writes: `st\.shared.*scatter\.cuh:"):
        example.check()


def test_a_missing_fence_for_tensor_cores_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradients of scores are written by threads, and read by the tensor cores of a warpgroup."""
    example = BY_NAME["step on wgmma"]
    fenced = "compute_losses(params, memory, state, tile);\n        show_to_tensor_cores();"
    changed(monkeypatch, example.sources[0], fenced, fenced.partition("\n")[0])
    with pytest.raises(AssertionError, match=r"no fence\.proxy\.async .*: `wgmma\.mma_async"):
        example.check()
