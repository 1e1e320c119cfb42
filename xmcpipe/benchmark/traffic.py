"""The bytes that an operation must move: each operand is read once, each result is written once.

Intermediate results are assumed to stay in caches. The text of a formula is both printed and evaluated. e is
the number of bytes of a value of the layer's dtype. Indices take 2 bytes in our layout, and 4 in CSR (plus 4
for the end of each row) and in an embedding bag. Our results are float32; those of the others have the dtype
of the layer. A step doesn't need to write scores or a gradient of the weights.
"""

from typing import Any

from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.problem import TOP

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
FORMULAS = {
    ("forward", "ffi"): "L*K*(e + 2) + B*D*e + B*L*4",
    ("forward", "grouped"): "L*K*e + L*K*2/G + B*D*e + B*L*4",
    ("forward", "dense"): "L*D*e + B*D*e + B*L*e",
    ("forward", "csr"): "L*K*(e + 4) + L*4 + B*D*e + B*L*e",
    ("forward", "embedding_bag"): "L*K*(e + 4) + B*D*e + B*L*e",
    ("backward", "ffi"): "L*K*(e + 2) + B*L*4 + B*D*e + L*K*4 + B*D*4",
    ("backward", "grouped"): "L*K*e + L*K*2/G + B*L*4 + B*D*e + L*K*4 + B*D*4",
    ("backward", "dense"): "L*D*e + B*L*e + B*D*e + L*D*e + B*D*e",
    ("backward", "csr"): "L*K*(e + 4) + L*4 + B*L*e + B*D*e + L*K*e + B*D*e",
    ("backward", "embedding_bag"): "L*K*(e + 4) + B*L*e + B*D*e + L*K*e + B*D*e",
    ("step", "ffi"): "L*K*(e + 2) + L*K*e + B*D*e + B*D*4",
    ("step", "grouped"): "L*K*e + L*K*2/G + L*K*e + B*D*e + B*D*4",
    ("step", "dense"): "L*D*e + L*D*e + B*D*e + B*D*e",
    ("step", "csr"): "L*K*(e + 4) + L*4 + L*K*e + B*D*e + B*D*e",
    ("topk", "ffi"): "L*K*(e + 2) + B*D*e + B*k*12",
    ("topk", "grouped"): "L*K*e + L*K*2/G + B*D*e + B*k*12",
    ("topk", "dense"): "L*D*e + B*D*e + B*k*(8 + e)",
    ("topk", "csr"): "L*K*(e + 4) + L*4 + B*D*e + B*k*(8 + e)",
    ("topk", "embedding_bag"): "L*K*(e + 4) + B*D*e + B*k*(8 + e)",
}


def bytes_moved(what: str, implementation: str, shape: Shape) -> int:
    """The value of the formula, in bytes."""
    sizes: dict[str, Any] = {
        "L": shape.labels,
        "K": shape.fan_in,
        "D": shape.features,
        "B": shape.batch,
        "k": TOP,
        "G": shape.group,
        "e": BYTES[shape.dtype],
    }
    # eval is safe here: the formulas are constants of this file.
    return int(eval(FORMULAS[what, implementation], {"__builtins__": {}}, sizes))
