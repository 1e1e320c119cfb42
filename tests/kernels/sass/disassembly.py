"""The machine code of a cubin, by nvdisasm: `pip install nvidia-cuda-nvdisasm`, or that of a CUDA toolkit."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = "nvidia-cuda-nvdisasm"
LINE = re.compile(r'//## File "([^"]*)", line (\d+)')
CODE = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)\s*([^;]*);")


@dataclass(frozen=True)
class Instruction:
    """An instruction, with the labels before it; `source` is the line of the kernel, "" if unknown."""

    opcode: str  # with its modifiers, like LDG.E.128.CONSTANT
    operands: str
    predicate: str | None
    labels: tuple[str, ...]
    source: str

    @property
    def name(self) -> str:
        """The opcode without modifiers."""
        return self.opcode.partition(".")[0]


@cache
def nvdisasm() -> Path | None:
    """The program, None if there is none."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nvdisasm":
            return Path(str(file.locate()))
    found = shutil.which("nvdisasm")
    return Path(found) if found else None


def unavailable_reason() -> str | None:
    """Why no machine code can be read here, in one line; None if it can."""
    return None if nvdisasm() else f"no nvdisasm: pip install {PACKAGE}"


def disassemble(cubin: bytes, entry: str) -> list[Instruction]:
    """The instructions of an entry, without the padding behind them."""
    program = nvdisasm()
    assert program is not None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [str(program), "-c", "-g", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _, heading, text = text.partition(f"\n.text.{entry}:\n")
    assert heading, f"the cubin has no entry {entry}"
    return _instructions(text.partition("\n//------")[0])


def _instructions(text: str) -> list[Instruction]:
    out: list[Instruction] = []
    labels: list[str] = []
    source = ""
    for line in text.split("\n"):
        if match := LINE.search(line):
            source = f"{match[1].removeprefix(f'{Path.cwd()}/')}:{match[2]}"
        elif match := re.match(r"(\.L_\w+):", line):
            labels.append(match[1])
        elif match := CODE.match(line):
            out.append(Instruction(match[2], match[3].strip(), match[1], tuple(labels), source))
            labels = []
    while out and out[-1].name in ("NOP", "BRA") and (out[-1].name == "NOP" or _to_itself(out[-1])):
        out.pop()
    return out


def _to_itself(branch: Instruction) -> bool:
    return any(label in branch.operands for label in branch.labels)
