"""From counts of PTX to counts of machine code: how often each SASS instruction is executed, by unit.

ptxas keeps a loop a loop, and `.loc` lines say what each instruction was compiled from. So a loop of the SASS
is that loop of the PTX, within the same outer loop, whose source lines are most alike. Within it, a SASS
instruction counts as often as the PTX of its line is executed on average, or as the loop's header if no PTX
has its line. Blocks of code that only a diverged warp branches to aren't counted.

Matrix products and memory accesses check it: ptxas neither adds nor removes any, so their number must be that
of the PTX.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.kernels.counts.loops import Loop, innermost, natural_loops
from tests.kernels.counts.run import Counts
from tests.kernels.ptx.parse import Entry
from tests.kernels.sass.disassembly import Instruction

TOLERANCE = 0.08  # of the check
ACCESS = re.compile(r"(LDG|STG|ST|LDS|STS|LDSM|HMMA|HGMMA|ATOMS|LDGSTS)\b")
PTX_ACCESS = re.compile(r"(ld\.(global|shared)|st\.|ldmatrix|(wg)?mma\.(sync|mma)|atom)")
WARPGROUP_PRODUCT = re.compile(r"HGMMA\.64x(\d+)x16\b")  # by four warps
# The units of a multiprocessor, by the opcode without modifiers; what none of them has is issued only.
UNITS = {
    "tensor": re.compile(r"HMMA|HGMMA|IMMA"),
    "special": re.compile(r"MUFU|F2I|I2F|F2F|POPC|FLO|BREV"),
    "fma": re.compile(r"FFMA|FADD|FMUL|HFMA2|HADD2|HMUL2"),
    "imad": re.compile(r"IMAD"),
    "exchange": re.compile(r"SHFL"),
    "alu": re.compile(
        r"IADD|LOP3|SHF|LEA|ISETP|SEL|PRMT|VIADD|VIMNMX|FSETP|FSEL|FMNMX|PLOP3|IABS|MOV|VOTE|P2R|R2P|LOP|BMSK|SGXT"
    ),
}


class MismatchError(Exception):
    """The machine code doesn't have the loops of the PTX, as far as this file can tell."""


@dataclass
class Estimate:
    """Executions of warps: all instructions, and those of each unit."""

    instructions: float
    units: dict[str, float]  # tensor: in products 16 x 8 x 16
    accesses: float  # memory accesses and matrix products, for the check


def estimate(counts: Counts, sass: Sequence[Instruction]) -> Estimate:
    """The estimate of a kernel's launches. Raises MismatchError if its accesses aren't those of the PTX."""
    executed = sass_executions(counts, sass)
    units = dict.fromkeys((*UNITS, "other"), 0.0)
    for each, times in zip(sass, executed, strict=True):
        units[unit_of(each)] += times * products_of(each)
    accesses = sum(times for each, times in zip(sass, executed, strict=True) if ACCESS.match(each.opcode))
    return Estimate(float(sum(executed)), units, accesses)


def check(made: Estimate, counts: Counts, name: str) -> None:
    """Raise MismatchError if the estimate's accesses differ from those of the PTX."""
    _, by_instruction = ptx_executions(counts)
    exact = sum(
        times
        for each, times in zip(counts.entry.instructions, by_instruction, strict=True)
        if PTX_ACCESS.match(each.opcode)
    )
    if abs(made.accesses - exact) > TOLERANCE * exact:
        raise MismatchError(
            f"{name}: the PTX makes {exact:.0f} accesses and products, the estimate {made.accesses:.0f}"
        )


def unit_of(instruction: Instruction) -> str:
    """The unit that executes an instruction."""
    for unit, pattern in UNITS.items():
        if pattern.match(instruction.name):
            return unit
    return "other"


def products_of(instruction: Instruction) -> float:
    """Products 16 x 8 x 16 of a warp in an instruction; 1 for what is no product."""
    wide = WARPGROUP_PRODUCT.match(instruction.opcode)
    return int(wide[1]) / 8 if wide else 1.0


def ptx_executions(counts: Counts) -> tuple[list[Loop | None], list[float]]:
    """The innermost loop of each PTX instruction, and how often warps execute it."""
    successors = ptx_successors(counts.entry)
    loops = innermost(natural_loops(successors), len(successors))
    times, current = [], float(counts.executed[0])
    for number, each in enumerate(counts.entry.instructions):
        if not each.opcode:  # a label starts a block
            current = float(counts.executed[number + 1])
        times.append(current)
        if each.opcode.startswith("bra"):
            current = float(counts.executed[number + 1]) if each.predicate else 0.0
    return loops, times


def ptx_successors(entry: Entry) -> list[list[int]]:
    """The instructions that may follow each."""
    labels = {each.operands[0]: i for i, each in enumerate(entry.instructions) if not each.opcode}
    out = []
    for i, each in enumerate(entry.instructions):
        ends = each.opcode.startswith(("bra", "ret", "exit")) and each.predicate is None
        after = [] if ends or i + 1 == len(entry.instructions) else [i + 1]
        out.append([*after, labels[each.operands[0]]] if each.opcode.startswith("bra") else after)
    return out


def sass_successors(sass: Sequence[Instruction]) -> list[list[int]]:
    """The instructions that may follow each; branches of diverged warps (BRA.DIV) are left out."""
    labels = {label: i for i, each in enumerate(sass) for label in each.labels}
    out = []
    for i, each in enumerate(sass):
        branches = each.name == "BRA" and ".DIV" not in each.opcode
        ends = (
            each.predicate is None
            and (branches or each.name in ("EXIT", "RET", "BRX"))
            and "P" not in each.operands[:3]
        )
        after = [] if ends or i + 1 == len(sass) else [i + 1]
        target = re.search(r"`\((\.L_\w+)\)", each.operands)
        out.append([*after, labels[target[1]]] if branches and target else after)
    return out


def sass_executions(counts: Counts, sass: Sequence[Instruction]) -> list[float]:
    """How often warps execute each SASS instruction."""
    ptx_loops, times = ptx_executions(counts)
    successors = sass_successors(sass)
    loops = natural_loops(successors)
    partners = _partners(loops, [each.source for each in sass], _loops_of(ptx_loops), counts.entry)
    by_line: dict[tuple[int, str], list[float]] = defaultdict(list)
    for each, loop, executed in zip(counts.entry.instructions, ptx_loops, times, strict=True):
        if each.opcode:
            by_line[-1 if loop is None else loop.header, each.source].append(executed)
    reachable = _reachable(successors)
    out = []
    for i, (machine, loop) in enumerate(zip(sass, innermost(loops, len(sass)), strict=True)):
        partner = None if loop is None else partners[loop.header]
        key = -1 if partner is None else partner.header
        default = counts.executed[0] if partner is None else times[partner.header]
        line = by_line.get((key, machine.source))
        out.append((float(np.mean(line)) if line else float(default)) if i in reachable else 0.0)
    return out


def _loops_of(by_instruction: Sequence[Loop | None]) -> list[Loop]:
    loops = {loop.header: loop for loop in by_instruction if loop is not None}
    return sorted(loops.values(), key=lambda loop: -len(loop.body))


def _partners(
    loops: list[Loop], sources: list[str], ptx_loops: list[Loop], entry: Entry
) -> dict[int, Loop | None]:
    """The PTX loop of each SASS loop, by its header; that of the loop around it if no other is like it."""
    partners: dict[int, Loop | None] = {}
    for loop in loops:
        around = None if loop.parent is None else partners[loop.parent.header]
        lines = {sources[i] for i in loop.body}
        taken = {partner.header for partner in partners.values() if partner is not None}
        likeness = {}
        for other in ptx_loops:
            if other.parent is around and other.header not in taken:
                theirs = {entry.instructions[i].source for i in other.body}
                likeness[other.header] = (len(lines & theirs) / len(lines | theirs), other)
        best = max(likeness.values(), key=lambda pair: pair[0], default=(0.0, around))
        partners[loop.header] = best[1] if best[0] > 0.3 else around
    return partners


def _reachable(successors: Sequence[Sequence[int]]) -> set[int]:
    seen, stack = {0}, [0]
    while stack:
        for after in successors[stack.pop()]:
            if after not in seen:
                seen.add(after)
                stack.append(after)
    return seen
