"""The grid that is timed: every combination of L, K, D, B and dtype, and the four operations of a classifier.

Legend: L labels · K fan-in · D features · B rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from xmcpipe.errors import XmcpipeError
from xmcpipe.machine.processor import multiplies

WHAT = ("forward", "backward", "step", "topk")
DTYPES = ("float32", "bfloat16", "float16")
MAX_FEATURES = 65_536  # indices have 16 bits; repeated from ops.topology, which loads torch


@dataclass(frozen=True)
class Shape:
    """The sizes of one layer and one batch. Raises XmcpipeError for sizes that are not possible."""

    labels: int
    fan_in: int
    features: int
    batch: int
    dtype: str
    group: int = 1
    """G, the number of neighbouring labels that read the same features."""

    def __post_init__(self) -> None:
        sizes = {"L": self.labels, "K": self.fan_in, "D": self.features, "B": self.batch, "G": self.group}
        for name, value in sizes.items():
            if value < 1:
                raise XmcpipeError(
                    f"expected {name} >= 1, got {name} = {value}", "see `xmcpipe bench --help`"
                )
        if self.features > MAX_FEATURES:
            raise XmcpipeError(f"expected D <= {MAX_FEATURES:,}, got D = {self.features}", "lower --features")
        if self.fan_in > self.features:
            raise XmcpipeError(
                f"expected K <= D, got K = {self.fan_in} for D = {self.features} features",
                "lower --fan-in, or raise --features",
            )

    @property
    def title(self) -> str:
        """The sizes in one line."""
        sizes = f"L {self.labels:,} · K {self.fan_in} · D {self.features} · B {self.batch}"
        return f"{sizes} · G {self.group} · {self.dtype}" if self.group > 1 else f"{sizes} · {self.dtype}"


@dataclass(frozen=True)
class Grid:
    """The sizes to combine, the operations to time (`what`), and the time to spend.

    `repeats` is the number of rounds of each comparison; None runs as many as fit in `seconds`, at least 3.
    Raises XmcpipeError for an unknown dtype or operation, and for sizes that are not possible.
    """

    labels: tuple[int, ...] = (131_072,)
    fan_in: tuple[int, ...] = (32, 64, 128)
    features: tuple[int, ...] = (768,)
    batch: tuple[int, ...] = (64,)
    dtype: tuple[str, ...] = ("float32", "bfloat16")
    what: tuple[str, ...] = WHAT
    repeats: int | None = None
    seconds: float = 2.0
    group: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        _require_known("dtype", self.dtype, DTYPES)
        _require_known("what", self.what, WHAT)
        if self.seconds <= 0 or (self.repeats is not None and self.repeats < 1):
            raise XmcpipeError(
                f"expected seconds and repeats above 0, got {self.seconds} and {self.repeats}",
                "see --seconds and --repeats",
            )
        list(self.shapes())

    def shapes(self) -> Iterator[Shape]:
        """Every shape; the fan-in varies fastest."""
        for dtype, labels, features, batch, group, fan_in in product(
            self.dtype, self.labels, self.features, self.batch, self.group, self.fan_in
        ):
            yield Shape(labels, fan_in, features, batch, dtype, group)


def _require_known(name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
    for value in values:
        if value not in known:
            raise XmcpipeError(f"expected --{name} to be one of {', '.join(known)}, got {value!r}")


CPU = Grid()
CUDA = replace(CPU, labels=(131_072, 670_091), fan_in=(64, 128), batch=(64, 512), seconds=0.5)
QUICK = replace(CPU, labels=(8192,), fan_in=(16, 32), features=(256,), batch=(16,), seconds=0.2)


def choose(device_type: str, quick: bool, options: dict[str, Any]) -> Grid:
    """The default grid of a device (the small one with `quick`), changed by the `options` that are not None.

    Raises XmcpipeError for a grid that can't be timed on that device.
    """
    default = QUICK if quick else CUDA if device_type == "cuda" else CPU
    if device_type == "cpu" and not multiplies("bfloat16"):
        # Nobody would multiply dense matrices of bfloat16 here: a ratio to their time says nothing.
        default = replace(default, dtype=("float32",))
    grid = replace(default, **{key: value for key, value in options.items() if value is not None})
    if device_type != "cuda" and "float16" in grid.dtype:
        raise XmcpipeError("float16 is timed on CUDA only", "use float32 or bfloat16 on a CPU")
    return grid
