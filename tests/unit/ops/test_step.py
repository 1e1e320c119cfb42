"""The fused step against dense maths in float64, torch.optim.SGD, and itself in other pieces."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ops.ffi_cases import FLOATS, IMPLEMENTATIONS, SHAPES, implementation, make, poison
from xmcpipe.ops import ffi_torch
from xmcpipe.ops import reference as ffi_reference
from xmcpipe.ops.cpu import threads
from xmcpipe.ops.cuda import step as step_cuda
from xmcpipe.ops.losses import IN_PLACE
from xmcpipe.ops.rounding import random_bits, round_stochastically
from xmcpipe.ops.step import ffi_step_

SCALE, RATE, DECAY, FACTOR = 0.02, 0.5, 0.01, 0.9


class Case:
    """A layer with bias and (if asked for) momentum, a batch and its positives; `run` steps a copy of it."""

    def __init__(
        self, num_rows, num_features, num_labels, fan_in, dtypes, momentum=None, seed=0, device="cpu"
    ):
        features, weight, index, noise = make(num_rows, num_features, num_labels, fan_in, seed=seed)
        self.features, self.index = features.to(dtypes[0]).to(device), index.to(device)
        self.weight = (0.3 * weight).to(dtypes[1]).to(device)
        self.bias = noise[0].float().to(device)
        self.momentum = None if momentum is None else weight.flip(0).to(momentum).to(device)
        self.target = (noise > 1.0).to(device)
        labels, rows = self.target.T.nonzero().unbind(1)
        self.positives = rows.contiguous(), labels.contiguous()

    def run(self, loss="bce", step=3, chunk=1 << 20, part=slice(None), seed=7, rate=RATE):
        """Loss, dX and the new weight, bias and momentum, of the labels of `part` alone."""
        first = part.start or 0
        weight, bias, index = (tensor[part].clone() for tensor in (self.weight, self.bias, self.index))
        momentum = None if self.momentum is None else self.momentum[part].clone()
        mine = (self.positives[1] >= first) & (self.positives[1] < first + len(weight))
        rows, labels = self.positives[0][mine], self.positives[1][mine] - first
        scalars = torch.tensor([SCALE, rate], device=weight.device)
        number = torch.tensor(step, device=weight.device)
        poison()
        loss_sum, grad = ffi_step_(
            self.features, weight, index, bias, momentum, rows, labels, scalars[0], scalars[1], number,
            loss, DECAY, FACTOR, seed, first + 1000, chunk,
        )  # fmt: skip
        return loss_sum, grad, weight, bias, momentum

    def expected(self, loss="bce", rate=RATE):
        """The same in float64, by dense maths, unrounded."""
        nothing = torch.zeros_like(self.weight)
        momentum = nothing if self.momentum is None else self.momentum
        exact = [tensor.double() for tensor in (self.weight, self.bias, momentum, self.features, self.target)]
        layer = exact[0], self.index, exact[1], exact[2]
        factor = 0.0 if self.momentum is None else FACTOR
        return ffi_reference.ffi_step(layer, *exact[3:], loss, SCALE, rate, DECAY, factor)


def close(value, wanted, tolerance=1e-5):
    torch.testing.assert_close(
        value.double(), wanted, atol=tolerance * max(1.0, float(wanted.abs().max())), rtol=0
    )


def same_but_for_order(value, wanted):
    """Sums in another order: float32 is near, and few of 16 bits are rounded to the other neighbour."""
    if value.dtype == torch.float32:
        torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-6)
    else:
        assert (value != wanted).float().mean() < 0.05


def one_place(values, dtype):
    """The distance of neighbours in the dtype, around each value."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(values.abs().clamp(min=info.smallest_normal)))
    return torch.exp2(exponent) * info.eps


def check(case, loss, results):
    wanted = case.expected(loss)
    loss_sum, grad, weight, bias, momentum = results
    assert (loss_sum.dtype, grad.dtype, loss_sum.dim()) == (torch.float32, torch.float32, 0)
    close(loss_sum, wanted.loss_sum)
    close(grad, wanted.grad_features)
    close(bias, wanted.bias)
    if case.weight.dtype == torch.float32:
        close(weight, wanted.weight)
    else:  # either neighbour
        off = (weight.double() - wanted.weight).abs()
        assert (off <= 1.001 * one_place(wanted.weight, weight.dtype) + 1e-6).all()
    if momentum is not None:
        off = (momentum.double() - wanted.momentum).abs()
        assert (off <= 0.501 * one_place(wanted.momentum, momentum.dtype) + 1e-5).all()


@given(
    SHAPES,
    st.integers(1, 30),
    st.sampled_from([(x, w) for x in FLOATS for w in FLOATS]),
    st.sampled_from(["none", "same", "bfloat16"]),
    st.sampled_from(sorted(IN_PLACE)),
    st.sampled_from(IMPLEMENTATIONS),
    st.integers(0, 1000),
)
def test_equals_the_dense_definition(device, shape, num_labels, dtypes, momentum, loss, name, seed):
    num_rows, (num_features, fan_in) = shape
    kind = {"none": None, "same": dtypes[1], "bfloat16": torch.bfloat16}[momentum]
    case = Case(num_rows, num_features, num_labels, fan_in, dtypes, kind, seed, device)
    with implementation(name), pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_cuda, "FEATURES_A_PLACE", 0)  # one pass on a GPU rounds gradients: tests/kernels
        check(case, loss, case.run(loss, chunk=1 + seed % 40))


@pytest.mark.parametrize("loss", sorted(IN_PLACE))
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("num_labels", [63, 64, 65, 200])
def test_edges_of_tiles_and_slices(num_labels, dtype, loss, device, monkeypatch):
    monkeypatch.setattr(ffi_torch, "TILE_VALUES", 64 * 24)
    monkeypatch.setattr(threads, "MIN_LABELS", 64)
    case = Case(37, 24, num_labels, 6, (dtype, dtype), dtype, device=device)
    for name in IMPLEMENTATIONS:
        with implementation(name):
            check(case, loss, case.run(loss))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_is_torch_sgd_in_float32(name, momentum, device):
    """Three steps, with weight decay, of the loss differentiated by autograd."""
    case = Case(6, 24, 20, 5, (torch.float32, torch.float32), device=device)
    weight, bias = case.weight.clone().requires_grad_(), case.bias.clone().requires_grad_()
    groups = [{"params": [weight], "weight_decay": DECAY, "momentum": momentum}, {"params": [bias]}]
    optimizer = torch.optim.SGD(groups, lr=RATE)
    ours = case.weight.clone(), case.bias.clone(), torch.zeros_like(case.weight) if momentum else None
    scalars = torch.tensor([SCALE, RATE], device=device)
    for step in range(3):
        scores = ffi_reference.ffi_scores(case.features, weight, case.index) + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            scores, case.target.float(), reduction="sum"
        )
        optimizer.zero_grad()
        (SCALE * loss).backward()
        optimizer.step()
        number = torch.tensor(step, device=device)
        with implementation(name):
            ffi_step_(
                case.features, ours[0], case.index, ours[1], ours[2], *case.positives, scalars[0], scalars[1],
                number, "bce", DECAY, momentum, 7, 0, 7,
            )  # fmt: skip
        torch.testing.assert_close(ours[0], weight.detach(), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(ours[1], bias.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pieces_and_chunks_give_the_same(dtype, name, device):
    """A range of the labels is stepped as in the whole: random choices hang on the label's own number."""
    case = Case(9, 24, 61, 8, (dtype, dtype), dtype, device=device)
    with implementation(name):
        whole = case.run()
        for chunk in (1, 7, 60):
            chunked = case.run(chunk=chunk)
            close(chunked[0], whole[0].double())
            close(chunked[1], whole[1].double())
            same_but_for_order(chunked[2], whole[2])
        parts = [case.run(part=slice(begin, begin + 20)) for begin in range(0, 61, 20)]
    close(sum(part[0] for part in parts), whole[0].double())
    close(sum(part[1] for part in parts), whole[1].double())
    for place in (2, 3, 4):
        joined = torch.cat([part[place] for part in parts])
        same_but_for_order(joined, whole[place])
        close(joined, whole[place].double(), 0.02)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_weights_are_rounded_by_step_seed_and_label(dtype, name, device):
    case = Case(4, 24, 50, 8, (torch.float32, dtype), device=device)
    with implementation(name):
        weight, other_step, other_seed = case.run()[2], case.run(step=4)[2], case.run(seed=8)[2]
    labels = torch.arange(50, device=device) + 1000
    random = random_bits(7, torch.tensor(3, device=device), labels, 8)
    expected = round_stochastically(case.expected().weight.float(), random, dtype)
    assert (weight != expected).float().mean() < 0.02  # a float32 sum away from the exact value
    assert (other_step != weight).float().mean() > 0.1
    assert (other_seed != weight).float().mean() > 0.1


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_number_of_threads_changes_no_bit(dtype, monkeypatch):
    case = Case(20, 30, 500, 7, (dtype, dtype))
    monkeypatch.setattr(threads, "MIN_LABELS", 32)
    results = []
    for count in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=count: count)
        with implementation("kernel"):
            results.append(case.run()[:4])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("loss", sorted(IN_PLACE))
def test_large_scores(name, loss, device):
    case = Case(8, 24, 30, 8, (torch.float32, torch.float32), device=device)
    case.weight *= 1000.0
    with implementation(name):
        loss_sum, grad, *_ = case.run(loss)
    wanted = case.expected(loss)
    torch.testing.assert_close(loss_sum.double(), wanted.loss_sum, rtol=1e-5, atol=0)
    close(grad, wanted.grad_features)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("loss", sorted(IN_PLACE))
def test_what_is_not_a_number_is_not_hidden(name, loss, device):
    case = Case(8, 24, 30, 8, (torch.float32, torch.bfloat16), device=device)
    case.features[2, :] = torch.nan
    with implementation(name):
        loss_sum, grad, weight, *_ = case.run(loss)
    assert loss_sum.isnan()
    assert grad[2].isnan().any()
    assert weight.isnan().any()


def arguments(dtype=torch.float32, momentum=None, device="cpu", loss="bce"):
    case = Case(3, 11, 7, 4, (dtype, dtype), momentum, device=device)
    scalars = (torch.tensor(value, device=device) for value in (SCALE, RATE, 3))
    settings = (loss, DECAY, FACTOR, 7, 100, 3)
    state = (case.weight, case.index, case.bias, case.momentum)
    return [case.features, *state, *case.positives, *scalars, *settings]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_opcheck(dtype, device):
    torch.library.opcheck(ffi_step_, tuple(arguments(dtype, dtype, device)))
    bare = arguments(dtype, device=device, loss="squared_hinge")
    bare[3] = None
    torch.library.opcheck(ffi_step_, tuple(bare))


def test_compiles_without_a_graph_break(device):
    eager, traced = arguments(torch.bfloat16, device=device), arguments(torch.bfloat16, device=device)
    compiled = torch.compile(lambda *args: ffi_step_(*args), fullgraph=True, backend="aot_eager")
    for ours, wanted in zip(compiled(*traced), ffi_step_(*eager), strict=True):
        torch.testing.assert_close(ours, wanted)
    assert torch.equal(traced[1], eager[1])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, torch.zeros(3, 11, dtype=torch.float64), "bfloat16, float16 or float32"),
        (1, torch.zeros(4, 7).T, "contiguous"),
        (3, torch.zeros(6), "bias"),
        (4, torch.zeros(7, 3), "momentum"),
        (4, torch.zeros(7, 4, dtype=torch.float16), "momentum"),
        (5, torch.zeros(1, dtype=torch.int64), "as many rows as labels"),
        (7, torch.tensor(1.0, dtype=torch.float64), "float32"),
        (9, torch.tensor([3]), "scalars"),
        (10, "hinge", "squared_hinge or bce"),
        (15, 0, "label_chunk"),
    ],
)
def test_wrong_arguments_are_refused(place, value, message):
    args = arguments()
    args[place] = value
    with pytest.raises(ValueError, match=message):
        ffi_step_(*args)


@pytest.mark.parametrize(
    ("rows", "labels"), [([3], [0]), ([-1], [0]), ([0], [7]), ([0], [-1]), ([0, 0], [2, 1])]
)
def test_positives_out_of_place_are_refused_where_they_would_be_written(rows, labels):
    args = arguments()
    args[5], args[6] = torch.tensor(rows), torch.tensor(labels)
    with implementation("kernel"), pytest.raises(ValueError, match="positives"):
        ffi_step_(*args)
