"""The heads that a recipe can name, and what each can do. A new head is a file in `heads` and a line here.

A recipe is checked against this table before torch is imported, which takes seconds. Therefore a line names
the class instead of importing it, and this module is outside the package `heads`, which imports torch. A
`Head` reads its abilities from its line, so that they are written once.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class HeadKind:
    """One kind of head and its abilities; `path` is "module:Class", a subclass of `heads.Head`.

    `is_sparse`: it has an index [L, K] of the features that each label reads, in the layout of `ops.ffi`.
    `rewires`: its connections can be pruned and grown again (`training.rewiring`).
    `updates_in_place`: its weights can be updated by SGD in the forward pass (`modeling.stepped`), which
    memory = "light" requires; it needs an index, so only a sparse head can have it.
    """

    path: str
    is_sparse: bool = False
    rewires: bool = False
    updates_in_place: bool = False


HEADS: dict[str, HeadKind] = {
    "ffi": HeadKind(
        "xmcpipe.modeling.heads.ffi:FFIHead", is_sparse=True, rewires=True, updates_in_place=True
    ),
    "dense": HeadKind("xmcpipe.modeling.heads.dense:DenseHead"),
    "bottleneck": HeadKind("xmcpipe.modeling.heads.bottleneck:BottleneckHead"),
}


def require_head(name: str) -> None:
    """Raise ValueError unless the table has a head called `name`."""
    if name not in HEADS:
        raise ValueError(f"expected one of {', '.join(map(repr, HEADS))}, got kind = {name!r}")
