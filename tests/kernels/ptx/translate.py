"""PTX to C++: a function for an entry, with registers as local variables and branches as goto.

A register is a variable of its bits. What computes in registers is in the table of `arithmetic`; what moves
data or branches in `movement`, what lanes do together in `warps`. A modifier that neither the table nor a
pattern has makes an instruction unknown.
"""

import json
import re

from tests.kernels.ptx import movement, warpgroups, warps  # noqa: F401  # they declare their instructions
from tests.kernels.ptx.arithmetic import C_TYPES, MEANINGS, Meaning
from tests.kernels.ptx.parse import Entry, parse
from tests.kernels.ptx.writer import TRANSLATIONS, Writer, variable


def statement(entry: Entry, number: int) -> str:
    """The C++ of an instruction. Raises UnknownPtxError that names it if it has no translation."""
    it = entry.instructions[number]
    if not it.opcode:
        return f"{variable(it.operands[0])}: COUNT({number + 1});"
    writer = Writer(entry, it, number + 1)
    code = _translated(writer)
    if it.predicate is None:
        return code
    code = f"if ({writer.read(it.predicate, 'pred')}) {{ {code} }}"
    # A branch ends a block of instructions that are executed equally often.
    return f"{code} COUNT({number + 1});" if it.opcode.startswith("bra") else code


def _translated(writer: Writer) -> str:
    it = writer.instruction
    for pattern, function in TRANSLATIONS:
        if match := pattern.fullmatch(it.opcode):
            return function(writer, match)
    meaning = MEANINGS.get(it.opcode)
    if meaning is None or len(it.operands) != 1 + len(meaning.operands):
        raise writer.unknown()
    return _computed(writer, meaning)


def _computed(writer: Writer, meaning: Meaning) -> str:
    to, *sources = writer.instruction.operands
    values = {
        name: writer.read(each, type_)
        for name, each, type_ in zip("abcd", sources, meaning.operands, strict=False)
    }
    expression = re.sub(r"\b[abcd]\b", lambda match: f"({values[match[0]]})", meaning.expression)
    return writer.write(to, meaning.result, expression)


def translate(ptx: str, name: str) -> str:
    """The C++ of an entry, and `host_run` that launches it. Raises UnknownPtxError for what isn't known."""
    entry = parse(ptx, name)
    parameters = ", ".join(f"{_stored(type_)} {variable(parameter)}" for parameter, type_ in entry.parameters)
    declared = "\n".join(
        f"    {_stored(type_)} {variable(each)} = 0;" for each, type_ in entry.registers.items()
    )
    body = "\n".join(f"    {statement(entry, number)}" for number in range(len(entry.instructions)))
    places = "\n".join(
        f"    {{{json.dumps(it.text)}, {json.dumps(it.source)}}}," for it in entry.instructions
    )
    return f"""
static const machine::Place PLACES[] = {{
    {{"", ""}},
{places}
}};

static void {name}({parameters}) {{
    machine::start_lane();
    machine::forget_copies();
    machine::forget_products();
    COUNT(0);
{declared}
{body}
}}

extern "C" int host_run(const int* shape, void** arguments) {{
    int whole[7];
    std::copy(shape, shape + 7, whole);
    whole[4] += {entry.static_bytes};
    machine::places = PLACES;
    machine::start_launch(unsigned(whole[4]), whole[6]);
    machine::forget_warpgroups();
    int count = whole[6] == {entry.cluster} ? host::launch({name}, whole, arguments) : -1;
    FINISH_COUNTS();
    return count;
}}
"""


def _stored(type_: str) -> str:
    """The C++ type that holds the bits of a PTX type."""
    return "uint32_t" if type_ == "f32" else C_TYPES[type_]
