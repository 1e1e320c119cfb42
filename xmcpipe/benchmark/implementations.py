"""Implementations of the same layer: our ops, a dense matrix, a CSR matrix, and an embedding bag.

If neighbouring labels read the same features, our ops are timed twice: with an index of each label, and of
each group.

Each stores the weights in its own layout, and is written the way an experienced PyTorch user would: products
in the layer's dtype, the loss in float32 in place, and the SGD update inside the product (`addmm_`), so that
the dense step allocates no gradient of the weights at all.

Legend: B rows · D features · L labels · K fan-in · R chosen labels.
"""

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from xmcpipe.benchmark.problem import TOP, WEIGHT_DECAY, Problem
from xmcpipe.ops.ffi import ffi_backward, ffi_scores
from xmcpipe.ops.layer import Positives, SparseLayer, Update
from xmcpipe.ops.losses.squared_hinge import squared_hinge_
from xmcpipe.ops.step import step_
from xmcpipe.ops.topk import ffi_topk

LABEL_CHUNK = 32_768  # labels of a chunk, the default of training and prediction
SCATTER_CHUNK = 32_768  # labels whose int64 index is in memory at a time
Output = tuple[Tensor, ...]


class Implementation:
    """A layer with its own copy of the weights, which `step` updates.

    Outputs: forward (scores [B, L],); backward (dX [B, D], dW in the layout of `weight`);
    step (loss [], dX [B, D]); topk (labels [B, TOP], scores [B, TOP]), best first.
    """

    name = ""
    ours = False
    grouped = False  # whether it needs groups of labels
    weight: Tensor
    grad: Tensor | None = None

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.features_BD = problem.features

    def call(self, what: str) -> Callable[[], Output]:
        """The method of that name, after the preparations that are not timed.

        The method raises NotImplementedError for an operation that this layout doesn't have.
        """
        if what == "backward":
            self.grad = self.own_grad()
        methods = {"forward": self.forward, "backward": self.backward, "step": self.step, "topk": self.topk}
        return methods[what]

    def own_grad(self) -> Tensor:
        """The gradient of the scores, in the dtype and layout in which autograd would pass it."""
        return self.problem.grad.to(self.problem.dtype)

    def forward(self) -> Output:
        """Compute the scores."""
        raise NotImplementedError

    def backward(self) -> Output:
        """Compute the gradients of features and weights from `problem.grad`."""
        raise NotImplementedError

    def step(self) -> Output:
        """Compute scores, squared hinge loss and dX, and update the weights in place with SGD."""
        raise NotImplementedError

    def topk(self) -> Output:
        """Find the best labels."""
        raise NotImplementedError

    def rows(self, matrix: Tensor, labels_R: Tensor) -> Tensor:
        """The values of a matrix, stored like `weight`, at the connections of R labels, [R, K]."""
        return matrix[labels_R]

    def operands(self) -> list[Tensor]:
        """The tensors that exist before the call, for the memory that it needs."""
        return [self.weight, self.features_BD, *([] if self.grad is None else [self.grad])]

    def loses_precision(self, what: str) -> str:
        """The reason why torch is known to be inexact here, or an empty string."""
        return ""


class FixedFanIn(Implementation):
    """Our ops: K weights and K indices per label."""

    name, ours = "ffi", True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.weight, self.index, self.group = problem.weight.clone(), problem.index, 1
        scalars = torch.tensor([problem.scale, problem.rate], device=problem.device)
        self.scale, self.rate = scalars.unbind()
        self.number = torch.ones((), dtype=torch.int64, device=problem.device)

    def operands(self) -> list[Tensor]:
        return [*super().operands(), self.index]

    def own_grad(self) -> Tensor:
        return self.problem.grad

    def forward(self) -> Output:
        scores_BL: Tensor = ffi_scores(self.features_BD, self.weight, self.index, self.group)
        return (scores_BL,)

    def backward(self) -> Output:
        return ffi_backward(self.problem.grad, self.features_BD, self.weight, self.index, self.group)

    def step(self) -> Output:
        positives = Positives(self.problem.positive_rows, self.problem.positive_labels)
        update = Update(
            self.scale,
            self.rate,
            self.number,
            weight_decay=WEIGHT_DECAY,
            momentum_factor=0.0,
            seed=0,
            first_label=0,
            label_chunk=LABEL_CHUNK,
        )
        layer = SparseLayer(self.weight, self.index, group=self.group)
        return step_(self.features_BD, layer, positives, "squared_hinge", update)

    def topk(self) -> Output:
        layer = self.weight, self.index, None
        output: Output = ffi_topk(self.features_BD, *layer, TOP, 0, LABEL_CHUNK, self.group)
        return output


class Grouped(FixedFanIn):
    """Our ops for groups: K weights per label, and K indices per group of labels."""

    name, grouped = "grouped", True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.group = problem.shape.group
        self.index = problem.index[:: self.group].contiguous()


class Dense(Implementation):
    """A matrix [L, D], zero where the layer has no connection."""

    name = "dense"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        shape = problem.shape
        self.weight = torch.zeros(shape.labels, shape.features, dtype=problem.dtype, device=problem.device)
        for begin in range(0, shape.labels, SCATTER_CHUNK):
            chunk = slice(begin, begin + SCATTER_CHUNK)
            self.weight[chunk].scatter_(1, problem.index[chunk].to(torch.int64), problem.weight[chunk])

    def rows(self, matrix: Tensor, labels_R: Tensor) -> Tensor:
        # Not every backend can index uint16 tensors, but all can cast them.
        index_RK = self.problem.index.to(torch.int32)[labels_R].to(torch.int64)
        return matrix[labels_R].gather(1, index_RK)

    def forward(self) -> Output:
        return (self.features_BD @ self.weight.T,)

    def backward(self) -> Output:
        assert self.grad is not None, "`call` sets it"
        return self.grad @ self.weight, self.grad.T @ self.features_BD

    def step(self) -> Output:
        problem = self.problem
        scores_BL = self._float32_scores()
        loss = squared_hinge_(scores_BL, problem.positive_rows, problem.positive_labels)
        grad_BL = scores_BL.to(problem.dtype)
        del scores_BL  # [B, L] in float32: freed before the products allocate
        grad_features = grad_BL @ self.weight
        decay = 1.0 - problem.rate * WEIGHT_DECAY
        self.weight.addmm_(grad_BL.T, self.features_BD, beta=decay, alpha=-problem.rate * problem.scale)
        return loss, grad_features

    def _float32_scores(self) -> Tensor:
        if self.features_BD.is_cuda and self.features_BD.dtype != torch.float32:
            # cuBLAS can return its float32 sums, which saves a cast.
            return torch.mm(self.features_BD, self.weight.T, out_dtype=torch.float32)
        return (self.features_BD @ self.weight.T).float()

    def topk(self) -> Output:
        scores, labels = self.forward()[0].topk(TOP, dim=1)
        return labels, scores


class Csr(Implementation):
    """A torch.sparse_csr matrix with int32 indices; the gradient of its values is a sampled product."""

    name = "csr"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        shape = problem.shape
        ends = torch.arange(shape.labels + 1, device=problem.device, dtype=torch.int32) * shape.fan_in
        columns = problem.index.flatten().to(torch.int32)
        size = (shape.labels, shape.features)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            self.weight = torch.sparse_csr_tensor(
                ends, columns, problem.weight.flatten().clone(), size, check_invariants=False
            )

    def rows(self, matrix: Tensor, labels_R: Tensor) -> Tensor:
        return matrix.values().view(-1, self.problem.shape.fan_in)[labels_R]

    def operands(self) -> list[Tensor]:
        parts = [self.weight.values(), self.weight.col_indices(), self.weight.crow_indices()]
        return [*parts, *super().operands()[1:]]

    def forward(self) -> Output:
        return ((self.weight @ self.features_BD.T).T,)

    def backward(self) -> Output:
        assert self.grad is not None, "`call` sets it"
        grad_weight = torch.sparse.sampled_addmm(self.weight, self.grad.T, self.features_BD, beta=0.0)
        return (self.weight.t() @ self.grad.T).T, grad_weight

    def step(self) -> Output:
        problem = self.problem
        scores_LB = (self.weight @ self.features_BD.T).float()
        loss = squared_hinge_(scores_LB, problem.positive_labels, problem.positive_rows)
        grad_LB = scores_LB.to(problem.dtype)
        grad_features = (self.weight.t() @ grad_LB).T
        torch.sparse.sampled_addmm(
            self.weight,
            grad_LB,
            self.features_BD,
            beta=1.0 - problem.rate * WEIGHT_DECAY,
            alpha=-problem.rate * problem.scale,
            out=self.weight,
        )
        return loss, grad_features

    def topk(self) -> Output:
        scores, labels = self.forward()[0].contiguous().topk(TOP, dim=1)
        return labels, scores


class EmbeddingBag(Implementation):
    """A weighted embedding bag per label over the rows of X^T, with int32 indices and autograd's backward."""

    name = "embedding_bag"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.index_LK = problem.index.to(torch.int32)
        self.weight = problem.weight.clone()
        self._graph: Output | None = None

    def operands(self) -> list[Tensor]:
        return [*super().operands(), self.index_LK]

    def own_grad(self) -> Tensor:
        return super().own_grad().T.contiguous()

    def loses_precision(self, what: str) -> str:
        if what == "backward" and self.problem.dtype != torch.float32:
            return f"torch sums this gradient in {self.problem.shape.dtype}"
        return ""

    def call(self, what: str) -> Callable[[], Output]:
        if what == "backward":  # the forward pass is not timed
            features_DB = self.features_BD.T.contiguous().requires_grad_()
            leaves = features_DB, self.weight.requires_grad_()
            scores_LB = F.embedding_bag(self.index_LK, leaves[0], per_sample_weights=leaves[1], mode="sum")
            self._graph = scores_LB, *leaves
        return super().call(what)

    def forward(self) -> Output:
        features_DB = self.features_BD.T.contiguous()
        return (F.embedding_bag(self.index_LK, features_DB, per_sample_weights=self.weight, mode="sum").T,)

    def backward(self) -> Output:
        assert self._graph is not None, "`call` sets it"
        scores_LB, *leaves = self._graph
        features, weight = torch.autograd.grad(scores_LB, leaves, self.grad, retain_graph=True)
        return features.T, weight

    def step(self) -> Output:
        raise NotImplementedError("its backward alone takes longer than a step")

    def topk(self) -> Output:
        scores, labels = self.forward()[0].contiguous().topk(TOP, dim=1)
        return labels, scores


IMPLEMENTATIONS: tuple[type[Implementation], ...] = (FixedFanIn, Grouped, Dense, Csr, EmbeddingBag)
