"""Bytes that must move: each operand read once from memory, each result written once, and nothing kept
between.

The formula that is printed is the one that is computed. e: bytes of a value of the layer's dtype; indices
take 2 bytes in our layout, 4 in CSR (and a row's end 4 more) and in an embedding bag. Our results are
float32, those of the others are of the layer's dtype. A step needs to write no scores and no gradient of the
weights.
"""

from typing import Any

from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.problem import TOP

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
FORMULAS = {
    ("forward", "ffi"): "L*K*(e + 2) + B*D*e + B*L*4",
    ("forward", "dense"): "L*D*e + B*D*e + B*L*e",
    ("forward", "csr"): "L*K*(e + 4) + L*4 + B*D*e + B*L*e",
    ("forward", "embedding_bag"): "L*K*(e + 4) + B*D*e + B*L*e",
    ("backward", "ffi"): "L*K*(e + 2) + B*L*4 + B*D*e + L*K*4 + B*D*4",
    ("backward", "dense"): "L*D*e + B*L*e + B*D*e + L*D*e + B*D*e",
    ("backward", "csr"): "L*K*(e + 4) + L*4 + B*L*e + B*D*e + L*K*e + B*D*e",
    ("backward", "embedding_bag"): "L*K*(e + 4) + B*L*e + B*D*e + L*K*e + B*D*e",
    ("step", "ffi"): "L*K*(e + 2) + L*K*e + B*D*e + B*D*4",
    ("step", "dense"): "L*D*e + L*D*e + B*D*e + B*D*e",
    ("step", "csr"): "L*K*(e + 4) + L*4 + L*K*e + B*D*e + B*D*e",
    ("topk", "ffi"): "L*K*(e + 2) + B*D*e + B*k*12",
    ("topk", "dense"): "L*D*e + B*D*e + B*k*(8 + e)",
    ("topk", "csr"): "L*K*(e + 4) + L*4 + B*D*e + B*k*(8 + e)",
    ("topk", "embedding_bag"): "L*K*(e + 4) + B*D*e + B*k*(8 + e)",
}


def bytes_moved(what: str, contender: str, shape: Shape) -> int:
    """What the formula says."""
    sizes: dict[str, Any] = {
        "L": shape.labels,
        "K": shape.fan_in,
        "D": shape.features,
        "B": shape.batch,
        "k": TOP,
        "e": BYTES[shape.dtype],
    }
    return int(eval(FORMULAS[what, contender], {"__builtins__": {}}, sizes))  # of constants of this file
