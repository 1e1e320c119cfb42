"""A CUDA kernel as the package describes it: an `extern "C"` entry of a file in kernels/, and its macros.

The values of macros are integers; WEIGHT, FEATURE and MOMENT choose a number format: 0 float32, 1 bfloat16,
2 float16, and WEIGHT also 3, E4M3 of 8 bits. Any legal combination, called a variant, is compiled at its
first launch. `xmcpipe kernels build` compiles the variants of `varied` ahead of time, and the tests compile
them for every architecture.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from xmcpipe.ops.nvrtc.architectures import MAX_REGISTERS, REGISTER_FILE, REGISTER_STEP, number_of

FORMAT_NAMES = {0: "float32", 1: "bfloat16", 2: "float16", 3: "float8_e4m3fn"}

Macros = Mapping[str, int]
Choice = tuple[str, tuple[int, ...]]
Group = tuple[str | Choice, ...]


def any_combination(_: Macros, __: int) -> bool:
    """Allow every combination of macros on every architecture."""
    return True


# Compared by identity: each launch looks its kernel up, and hashing all fields would slow it down.
@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel entry, and the macros that specialise it."""

    entry: str
    threads: int
    """Threads of a block, as in its `__launch_bounds__`; a macro THREADS overrides it."""
    blocks: int = 1
    """Blocks of a multiprocessor, as in its `__launch_bounds__`; a macro BLOCKS overrides it."""
    file: str = ""
    """Name of the file in kernels/; "" means ENTRY.cu."""
    macros: tuple[Choice, ...] = ()
    """(name, legal values) of each macro; the first value is the default."""
    varied: tuple[Group, ...] = ()
    """Groups of macros, each macro with all its legal values or with a list of some.

    Every combination within a group, with all other macros at their defaults, is compiled ahead of time. The
    first group has the number formats."""
    allows: Callable[[Macros, int], bool] = any_combination
    """Whether a combination of macros is valid on an architecture (90 for sm_90)."""
    suffix: str = ""
    """"a" for instructions that no other architecture has: it is compiled for sm_90a instead of sm_90."""
    optional: tuple[str, ...] = ()
    """Names of the pointer parameters that may be null."""
    formats: tuple[tuple[str, Callable[[Macros], int]], ...] = ()
    """Formats of parameter types `NAME_t` that are not chosen by the macro NAME."""

    @property
    def source(self) -> str:
        """The name of its file in kernels/."""
        return self.file or f"{self.entry}.cu"

    def target(self, architecture: str) -> str:
        """The name that the compiler gets for an architecture."""
        return f"{architecture}{self.suffix}"

    def variant(self, **values: int) -> "Variant":
        """The kernel with these values of macros, and the others at their defaults.

        Raises ValueError for an unknown macro or an illegal value.
        """
        legal = dict(self.macros)
        for name, value in values.items():
            if value not in legal.get(name, ()):
                expected = f"{name} in {legal[name]}" if name in legal else f"a macro of {', '.join(legal)}"
                raise ValueError(f"{self.entry}: expected {expected}, got {name}={value}")
        return Variant(self, tuple((name, values.get(name, choices[0])) for name, choices in self.macros))

    def variants(self, architecture: str, formats_only: bool = False) -> Iterator["Variant"]:
        """The variants to compile ahead of time for an architecture ("sm_90"), the defaults first."""
        legal, number, seen = dict(self.macros), number_of(architecture), set()
        # The empty group yields the defaults, first.
        for group in ((), *(self.varied[:1] if formats_only else self.varied)):
            choices = dict((macro, legal[macro]) if isinstance(macro, str) else macro for macro in group)
            for values in itertools.product(*choices.values()):
                variant = self.variant(**dict(zip(choices, values, strict=True)))
                if variant not in seen and self.allows(dict(variant.macros), number):
                    seen.add(variant)
                    yield variant


@dataclass(frozen=True)
class Variant:
    """A kernel and the value of each of its macros."""

    kernel: Kernel
    macros: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.macros) or "-"

    @property
    def threads(self) -> int:
        """Number of threads of a block."""
        return dict(self.macros).get("THREADS", self.kernel.threads)

    @property
    def cluster(self) -> int:
        """Number of blocks of a cluster, which run together; 1 without clusters."""
        return dict(self.macros).get("CLUSTER", 1)

    @property
    def max_registers(self) -> int:
        """The most registers per thread with which these blocks fit on a multiprocessor."""
        blocks = dict(self.macros).get("BLOCKS", self.kernel.blocks)
        registers = REGISTER_FILE // (self.threads * blocks)
        return min(MAX_REGISTERS, registers - registers % REGISTER_STEP)
