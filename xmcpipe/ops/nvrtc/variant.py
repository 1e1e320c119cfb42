"""What a CUDA kernel is to the package: an `extern "C"` entry of a file in kernels/, specialised by macros.

Macros have whole numbers as values; WEIGHT, FEATURE and their like choose a number format: 0 float32,
1 bfloat16, 2 float16. Whatever is legal may be compiled when it is first launched. What `varied` lists is
what `xmcpipe kernels build` compiles ahead and what the tests compile for every architecture.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from xmcpipe.ops.nvrtc.architectures import MAX_REGISTERS, REGISTER_FILE, REGISTER_STEP, number_of

FORMAT_NAMES = {0: "float32", 1: "bfloat16", 2: "float16"}
FORMAT_CODES = {name: code for code, name in FORMAT_NAMES.items()}

Macros = Mapping[str, int]
Choice = tuple[str, tuple[int, ...]]
Group = tuple[str | Choice, ...]


def anything(_: Macros, __: int) -> bool:
    """Every combination of macros is for every architecture."""
    return True


@dataclass(frozen=True, eq=False)  # compared by identity: a launch looks its variant up
class Kernel:
    """One entry.

    `threads` a block and `blocks` a multiprocessor are those of its `__launch_bounds__`, where the macros
    THREADS and BLOCKS don't say otherwise. `macros` are (name, legal values), the default first. `varied` are
    groups of macros, with all their legal values or those beside them: every combination within a group, all
    other macros at their defaults, is compiled ahead; the first group is that of the number formats.
    `allows` says whether macros go together, on an architecture (90 for sm_90). `optional` names the pointers
    that may be null. `formats` says which number format a type of a parameter is, where it isn't that of the
    macro NAME for the type `NAME_t`.
    """

    entry: str
    threads: int
    blocks: int = 1
    file: str = ""
    macros: tuple[Choice, ...] = ()
    varied: tuple[Group, ...] = ()
    allows: Callable[[Macros, int], bool] = anything
    optional: tuple[str, ...] = ()
    formats: tuple[tuple[str, Callable[[Macros], int]], ...] = ()

    @property
    def source(self) -> str:
        """The name of its file in kernels/."""
        return self.file or f"{self.entry}.cu"

    def variant(self, **values: int) -> "Variant":
        """The kernel with these macros, the others at their defaults.

        Raises ValueError for a macro or a value that isn't legal.
        """
        legal = dict(self.macros)
        for name, value in values.items():
            if value not in legal.get(name, ()):
                raise ValueError(f"{self.entry}: {name}={value} was given, one of {legal} was wanted")
        return Variant(self, tuple((name, values.get(name, among[0])) for name, among in self.macros))

    def variants(self, architecture: str, formats_only: bool = False) -> Iterator["Variant"]:
        """What is compiled ahead for an architecture: each variant once, the defaults first."""
        legal, number, seen = dict(self.macros), number_of(architecture), set()
        for group in ((), *(self.varied[:1] if formats_only else self.varied)):
            choices = dict((each, legal[each]) if isinstance(each, str) else each for each in group)
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
        """The threads of a block."""
        return dict(self.macros).get("THREADS", self.kernel.threads)

    @property
    def max_registers(self) -> int:
        """The registers a thread may use, so that as many blocks as wanted fit a multiprocessor."""
        blocks = dict(self.macros).get("BLOCKS", self.kernel.blocks)
        share = REGISTER_FILE // (self.threads * blocks)
        return min(MAX_REGISTERS, share - share % REGISTER_STEP)
