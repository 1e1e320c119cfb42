"""What the translations of instructions share: operands as C++, and the table of patterns and functions."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.kernels.ptx.arithmetic import C_TYPES
from tests.kernels.ptx.parse import Entry, Instruction, UnknownPtxError

SPECIAL = {
    f"%{name}.{axis}": f"uint32_t({variable}.{axis})"
    for name, variable in (
        ("tid", "threadIdx"),
        ("ntid", "blockDim"),
        ("ctaid", "blockIdx"),
        ("nctaid", "gridDim"),
    )
    for axis in "xyz"
}
SPECIAL["%cluster_ctarank"] = "uint32_t(host::cluster_rank())"
SPECIAL["%cluster_nctarank"] = "uint32_t(host::cluster_size)"
SPECIAL["%laneid"] = "uint32_t(host::lane_of_warp())"


@dataclass(frozen=True)
class Writer:
    """Writes the C++ of one instruction of an entry; `place` is its number."""

    entry: Entry
    instruction: Instruction
    place: int

    def operand(self, number: int) -> str:
        """The text of an operand."""
        return self.instruction.operands[number]

    def read(self, operand: str, type_: str) -> str:
        """The value of an operand, as a C++ expression."""
        c_type = C_TYPES[type_]
        if operand.startswith("!"):
            return f"!{self.read(operand[1:], type_)}"
        if operand in self.entry.registers:
            name = variable(operand)
            return f"machine::as_float({name})" if type_ == "f32" else f"{c_type}({name})"
        if operand in SPECIAL:
            return SPECIAL[operand]
        if operand in self.entry.shared:
            return f"{c_type}({self.entry.shared[operand]})"
        if re.fullmatch(r"0f[0-9A-Fa-f]{8}", operand):
            return f"machine::as_float(0x{operand[2:]}u)"
        if re.fullmatch(r"-?(\d+|0x[0-9A-Fa-f]+)U?", operand) and type_ != "f32":
            return f"{c_type}({operand.rstrip('U')}{'ll' if c_type.startswith(('int', 'uint')) else ''})"
        raise self.unknown(f"operand {operand}")

    def write(self, operand: str, type_: str, value: str) -> str:
        """A statement that assigns a value to a register, or computes it only, for the operand "_"."""
        if operand == "_":
            return f"(void)({value});"
        if operand not in self.entry.registers:
            raise self.unknown(f"operand {operand}")
        if type_ == "f32":
            return f"{variable(operand)} = machine::as_bits({value});"
        return f"{variable(operand)} = {C_TYPES[type_]}({value});"

    def address(self, operand: str) -> str:
        """The value of an address, "[register+offset]"."""
        match = re.fullmatch(r"\[([%$\w]+)(?:\+(-?\w+))?\]", operand)
        if match is None:
            raise self.unknown(f"address {operand}")
        base = self.read(match[1], "u64")
        return f"{base} + {match[2]}" if match[2] else base

    def unknown(self, what: str = "instruction") -> UnknownPtxError:
        """The error for what the translator doesn't know."""
        return UnknownPtxError(f"unknown {what}: `{self.instruction.text}` of {self.instruction.source}")


Translate = Callable[[Writer, "re.Match[str]"], str]
TRANSLATIONS: list[tuple["re.Pattern[str]", Translate]] = []


def instruction(pattern: str) -> Callable[[Translate], Translate]:
    """Declares the function that translates the opcodes of a pattern."""

    def declared(function: Translate) -> Translate:
        TRANSLATIONS.append((re.compile(pattern), function))
        return function

    return declared


def variable(name: str) -> str:
    """The C++ name of a register, parameter or label."""
    return "r_" + re.sub(r"\W", "_", name.lstrip("%"))
