"""What is timed: every combination of L, K, D, B and dtype, and of the four things a classifier does.

L labels, K fan-in, D features, B rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from xmcpipe.errors import XmcpipeError

WHAT = ("forward", "backward", "step", "topk")
DTYPES = ("float32", "bfloat16", "float16")
MAX_FEATURES = 65_536  # indices have 16 bits; the number of ops.topology, which loads torch


@dataclass(frozen=True)
class Shape:
    """One layer and one batch. Raises XmcpipeError for a layer that can't be."""

    labels: int
    fan_in: int
    features: int
    batch: int
    dtype: str

    def __post_init__(self) -> None:
        sizes = {"L": self.labels, "K": self.fan_in, "D": self.features, "B": self.batch}
        for name, value in sizes.items():
            if value < 1:
                raise XmcpipeError(f"{name} = {value} was given, 1 or more is wanted")
        if self.features > MAX_FEATURES:
            raise XmcpipeError(f"D = {self.features} was given, at most {MAX_FEATURES:,} is wanted")
        if self.fan_in > self.features:
            raise XmcpipeError(
                f"K = {self.fan_in} was given for D = {self.features} features, K <= D is wanted",
                "lower --fan-in, or raise --features",
            )

    @property
    def title(self) -> str:
        """As people write it."""
        sizes = f"L {self.labels:,} · K {self.fan_in} · D {self.features} · B {self.batch}"
        return f"{sizes} · {self.dtype}"


@dataclass(frozen=True)
class Grid:
    """The sizes to combine, what to time, and for how long.

    `repeats`: rounds of each comparison; None: as many as fit in `seconds`, and 3 at least.
    Raises XmcpipeError for an unknown dtype or `what`, and for layers that can't be.
    """

    labels: tuple[int, ...] = (131_072,)
    fan_in: tuple[int, ...] = (32, 64, 128)
    features: tuple[int, ...] = (768,)
    batch: tuple[int, ...] = (64,)
    dtype: tuple[str, ...] = ("float32", "bfloat16")
    what: tuple[str, ...] = WHAT
    repeats: int | None = None
    seconds: float = 2.0

    def __post_init__(self) -> None:
        _require_known("dtype", self.dtype, DTYPES)
        _require_known("what", self.what, WHAT)
        if self.seconds <= 0 or (self.repeats is not None and self.repeats < 1):
            raise XmcpipeError(
                "a time or a number of rounds above 0 is wanted", "see --seconds and --repeats"
            )
        list(self.shapes())

    def shapes(self) -> Iterator[Shape]:
        """Every shape; the fan-in changes first."""
        for dtype, labels, features, batch, fan_in in product(
            self.dtype, self.labels, self.features, self.batch, self.fan_in
        ):
            yield Shape(labels, fan_in, features, batch, dtype)


def _require_known(name: str, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    for value in given:
        if value not in known:
            raise XmcpipeError(f"--{name} {value!r} was given, of {', '.join(known)} one or more are wanted")


CPU = Grid()
CUDA = replace(CPU, labels=(131_072, 670_091), fan_in=(64, 128), batch=(64, 512), seconds=0.5)
QUICK = replace(CPU, labels=(8192,), fan_in=(16, 32), features=(256,), batch=(16,), seconds=0.2)


def choose(device_type: str, quick: bool, given: dict[str, Any]) -> Grid:
    """The default grid of a device, or the small one, with what was `given` (None: not given) in its place.

    Raises XmcpipeError for a grid that can't be timed there.
    """
    default = QUICK if quick else CUDA if device_type == "cuda" else CPU
    grid = replace(default, **{key: value for key, value in given.items() if value is not None})
    if device_type != "cuda" and "float16" in grid.dtype:
        raise XmcpipeError("float16 was given on a CPU, it is timed on CUDA only", "use float32 or bfloat16")
    return grid
