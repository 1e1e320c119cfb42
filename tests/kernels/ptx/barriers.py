"""Remove the barriers of the kernels one by one, and list which removals the compiled kernels' checks catch.
Fences for tensor cores count as barriers here.

    python -m tests.kernels.ptx.barriers [--out results/gpu/barriers.md] [FILE ...]

Each run compiles a kernel without one barrier, runs its examples (`examples.py`), and looks whether one of
them fails: by a race or by a wrong value. A removal that isn't caught is a barrier that these examples don't
need: another one orders the same accesses, or only a shape that no example has needs it. FILE: kernels to
check, like ffi_scores.cu.
"""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kernels.host import kernel as host_kernel
from tests.kernels.host.kernel import Macros
from tests.kernels.ptx.examples import EXAMPLES, MORE
from tests.kernels.ptx.kernel import build_from_ptx
from tests.kernels.ptx.nvrtc import ARCHITECTURE, ptx_of
from xmcpipe.ops.nvrtc.kernel_table import KERNELS
from xmcpipe.ops.nvrtc.source import text_of

BARRIER = re.compile(
    r"__syncthreads\(\)|__syncwarp\(\)|__syncthreads_or(?=\()|\bcluster_(sync|arrive|wait)\(\)(?=;)"
    r"|show_to_tensor_cores\(\)(?=;)"
)
FAULT = re.compile(
    r"(no fence[a-z. ]+|(?:race of|lanes wait|waits for|arrives at|a block ends|access to) [a-z' ]+)"
)
LINE = re.compile(r'#line (\d+) "([^"]+)"')


@dataclass
class Barrier:
    """A barrier in the text of a kernel; `edited` is the text without it."""

    source: str
    where: str
    line: str
    edited: str


@dataclass
class Outcome:
    """What became of a removal."""

    barrier: Barrier
    compiled: bool = False  # whether it changed the PTX of an example
    caught: str = ""  # by which example, and how


def barriers(source: str) -> Iterator[Barrier]:
    """The barriers of a file and of what it includes."""
    lines, where = text_of(source).split("\n"), ("", 0)
    for number, line in enumerate(lines):
        if match := LINE.match(line):
            where = (match[2], int(match[1]) - 1)
            continue
        where = (where[0], where[1] + 1)
        if found := BARRIER.search(line.partition("//")[0]):
            without = line[: found.start()] + line[found.end() :]
            edited = "\n".join([*lines[:number], without, *lines[number + 1 :]])
            yield Barrier(source, f"{where[0]}:{where[1]}", line.strip(), edited)


def removed(barrier: Barrier) -> Outcome:
    """Run the examples of the kernel without the barrier, up to the first that fails."""
    outcome = Outcome(barrier)

    def build(entry: str, macros: Macros) -> Path:
        if KERNELS[entry].source != barrier.source:
            return build_from_ptx(entry, macros)
        texts = (text_of(barrier.source), barrier.edited)
        target = KERNELS[entry].target(ARCHITECTURE)
        before, after = (ptx_of(text, barrier.source, macros, target) for text in texts)
        changed = re.sub(r"\.loc[^\n]*", "", before) != re.sub(r"\.loc[^\n]*", "", after)
        outcome.compiled |= changed
        return build_from_ptx(entry, macros, barrier.edited if changed else None)

    host_kernel.build = build
    for example in EXAMPLES + MORE:
        if barrier.source in example.sources and not outcome.caught:
            try:
                example.check()
            except AssertionError as error:
                reason = str(error).split("\n")[0]
                fault = FAULT.search(reason)
                outcome.caught = f"{example.name}: {fault[1] if fault else 'a wrong value'}"
    return outcome


def page(outcomes: list[Outcome]) -> str:
    """The list as Markdown."""
    used = [outcome for outcome in outcomes if outcome.compiled]
    caught = sum(bool(outcome.caught) for outcome in used)
    lines = [
        "# Barriers removed one by one",
        "",
        "    python -m tests.kernels.ptx.barriers --out results/gpu/barriers.md",
        "",
        "Compiled kernels (PTX for sm_90) run on the host, each without one barrier. No GPU was involved.",
        f"{caught} of {len(used)} removals are caught. The others are not needed by these examples: another",
        "barrier orders the same accesses, or only shapes that no example has need them.",
        "",
        "| kernel | barrier | caught by |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{outcome.barrier.source}` | `{outcome.barrier.where}` | {outcome.caught or 'not caught'} |"
        for outcome in used
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("files", nargs="*", metavar="FILE", help="kernels to check; all by default")
    parser.add_argument("--out", type=Path, help="file for the list, in Markdown")
    arguments = parser.parse_args()
    sources = sorted({source for example in EXAMPLES + MORE for source in example.sources})
    if unknown := set(arguments.files) - set(sources):
        parser.error(f"no examples of {', '.join(sorted(unknown))}; expected one of {', '.join(sources)}")
    outcomes = []
    for source in arguments.files or sources:
        for barrier in barriers(source):
            outcomes.append(removed(barrier))
            if outcomes[-1].compiled:
                print(f"{source} {barrier.where}: {outcomes[-1].caught or 'not caught'}", flush=True)
    if arguments.out:
        arguments.out.write_text(page(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
