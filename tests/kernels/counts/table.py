"""The counts of a step's kernels at full size, as the table of kernels/README.md.

Counts grow linearly with the labels: two runs with few labels give the part of each label, and that of each
block, which stages the features. A multiprocessor has an equal share of the labels, and its blocks of each
launch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tests.kernels.counts.estimate import Estimate, MismatchError, check, estimate
from tests.kernels.counts.run import Counts, Shape, step_counts
from tests.kernels.ptx.nvrtc import ARCHITECTURE, cubin_of
from tests.kernels.sass.disassembly import disassemble
from xmcpipe.ops.cuda.geometry import Card, LayerShape, chunk_labels
from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES, KIB, REGISTER_FILE, REGISTER_STEP
from xmcpipe.ops.nvrtc.compiler import compile_kernel
from xmcpipe.ops.nvrtc.source import text_of
from xmcpipe.ops.nvrtc.variant import Variant

H100 = Card(132, 50 * KIB * KIB, ARCHITECTURES[ARCHITECTURE], (9, 0))
CYCLES_PER_MS, SHARED_OF_ALL_BLOCKS, MOST_THREADS = 1.755e6, 228 * KIB, 2048
SHAPES = [
    Shape(670_091, 128, 64),
    Shape(670_091, 128, 64, warpgroups=True),
    Shape(670_091, 128, 128),
    Shape(670_091, 128, 128, clusters=True),
    Shape(670_091, 128, 128, warpgroups=True),
    Shape(2_812_281, 256, 128),
    Shape(131_073, 128, 512),
]
FEW, MORE = 64, 192  # labels of the two runs: whole tiles of all kernels
TILE = 32  # labels that the table's cycles are for
SECTOR = 32  # bytes
# Executions of a warp in a cycle of a multiprocessor: 4 are issued, of which 2 may be for ALU and 2 be IMAD.
RATES = {"instructions": 4.0, "alu": 2.0, "fma": 4.0, "imad": 2.0, "special": 0.5, "tensor": 1.0}
COLUMNS = ("issue", "ALU", "FMA", "special", "shared", "tensor")


@dataclass(frozen=True)
class Work:
    """Cycles of each unit of a multiprocessor, and bytes requested of L2."""

    cycles: dict[str, float]  # by COLUMNS
    bytes: float

    def minus(self, other: "Work", parts: float) -> "Work":
        """The difference, divided by `parts`."""
        cycles = {name: (self.cycles[name] - other.cycles[name]) / parts for name in self.cycles}
        return Work(cycles, (self.bytes - other.bytes) / parts)


@dataclass(frozen=True)
class Row:
    """A kernel of a step."""

    entry: str
    launches: int
    label: Work  # of one label
    block: Work  # of one block of a launch
    blocks: int  # of a launch, on a multiprocessor
    instructions: float  # of a label, executed by warps

    def milliseconds(self, labels: int) -> dict[str, float]:
        """The time of each unit, if it were never idle."""
        share = labels / H100.multiprocessors
        return {
            name: (share * self.label.cycles[name] + self.launches * self.blocks * self.block.cycles[name])
            / CYCLES_PER_MS
            for name in COLUMNS
        }


def rows_of(shape: Shape) -> Iterator[Row]:
    """The kernels of a step; not those that add partial sums, once a step."""
    few, more = step_counts(shape, FEW), step_counts(shape, MORE)
    sizes = LayerShape(shape.rows, shape.features, shape.labels, shape.fan_in, torch.bfloat16, torch.bfloat16)
    for variant, counts in more.items():
        entry = variant.kernel.entry
        if entry.endswith("_sum"):
            continue
        if few[variant].blocks != counts.blocks:  # a block's own work would be taken for that of labels
            raise MismatchError(f"{entry}: {few[variant].blocks} blocks, with more labels {counts.blocks}")
        chunk = shape.labels if entry.startswith("ffi_step") else chunk_labels(sizes, H100, 1 << 20)
        made, made_of_more = (_estimate(variant, each[variant]) for each in (few, more))
        work, of_more = _work(made, few[variant]), _work(made_of_more, counts)
        label = of_more.minus(work, MORE - FEW)
        of_labels = Work({name: FEW * label.cycles[name] for name in COLUMNS}, FEW * label.bytes)
        yield Row(
            entry=entry,
            launches=-(-shape.labels // chunk),
            label=label,
            block=work.minus(of_labels, few[variant].blocks),
            blocks=_blocks(variant, counts.shared_bytes),
            instructions=(made_of_more.instructions - made.instructions) / (MORE - FEW),
        )


def table() -> str:
    """The counts of all shapes, as Markdown."""
    heads = ["shape, kernel", "launches", "instructions", *COLUMNS, "KB of L2", "busiest unit, ms"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for shape in SHAPES:
        rows = list(rows_of(shape))
        total = sum(max(row.milliseconds(shape.labels).values()) for row in rows)
        way = ", in clusters" if shape.clusters else ", on wgmma" if shape.warpgroups else ""
        name = f"**L {shape.labels:,}, K {shape.fan_in}, B {shape.rows}{way}**"
        lines.append(f"| {name} {'| ' * (len(heads) - 1)}| **{total:.2f}** |".replace("| | **", "| **"))
        lines += [_line(row, shape) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: Row, shape: Shape) -> str:
    """Launches of a step; instructions of warps and KB of L2 of a label; cycles of a tile; milliseconds."""
    times = row.milliseconds(shape.labels)
    busiest = max(times, key=lambda name: times[name])
    cells = [f"`{row.entry}`", str(row.launches), f"{row.instructions:,.0f}"]
    cells += [f"{TILE * row.label.cycles[name]:,.0f}" for name in COLUMNS]
    cells += [f"{row.label.bytes / 1000:.1f}", f"{times[busiest]:.2f} {busiest}"]
    return f"| {' | '.join(cells)} |"


def _estimate(variant: Variant, counts: Counts) -> Estimate:
    source = variant.kernel.source
    target = variant.kernel.target(ARCHITECTURE)
    cubin = cubin_of(text_of(source), source, variant.macros, target)
    made = estimate(counts, disassemble(cubin, variant.kernel.entry))
    check(made, counts, variant.kernel.entry)
    return made


def _work(made: Estimate, counts: Counts) -> Work:
    cycles = {name: times / RATES[name] for name, times in made.units.items() if name in RATES}
    return Work(
        {
            "issue": made.instructions / RATES["instructions"],
            "ALU": cycles["alu"],
            "FMA": cycles["fma"] + cycles["imad"],
            "special": cycles["special"],
            "shared": float(counts.wavefronts.sum()) + made.units["exchange"],  # 128 bytes a cycle
            "tensor": cycles["tensor"],
        },
        SECTOR * float(counts.sectors.sum()),
    )


def _blocks(variant: Variant, dynamic_bytes: int) -> int:
    """The blocks of a kernel that run on a multiprocessor at once."""
    used = compile_kernel(variant, ARCHITECTURE).resources
    registers = -(-used.registers // REGISTER_STEP) * REGISTER_STEP * variant.threads
    shared = used.shared + dynamic_bytes + KIB
    return min(REGISTER_FILE // registers, SHARED_OF_ALL_BLOCKS // shared, MOST_THREADS // variant.threads)
