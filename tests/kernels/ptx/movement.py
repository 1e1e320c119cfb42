"""PTX instructions that move data or branch, by patterns of the whole opcode."""

import re

from tests.kernels.ptx.arithmetic import C_TYPES
from tests.kernels.ptx.parse import operands_of
from tests.kernels.ptx.writer import Writer, instruction, variable

MEMORY_TYPES = "[usb](?:16|32|64)|f32"


SPACES = {"global": "Global", "shared": "Shared", "shared::cta": "Shared", "shared::cluster": "Cluster"}


@instruction(rf"(ld|st)\.(global|shared(?:::cta|::cluster)?)(?:\.nc)?(?:\.v([24]))?\.({MEMORY_TYPES})")
def _access(writer: Writer, match: "re.Match[str]") -> str:
    loads, space, type_ = match[1] == "ld", SPACES[match[2]], match[4].replace("f", "b")
    memory, listed = (writer.operand(1), writer.operand(0)) if loads else writer.instruction.operands
    registers = operands_of(listed.strip("{}"))
    if len(registers) != int(match[3] or 1):
        raise writer.unknown()
    values = "" if loads else " = {" + ", ".join(writer.read(each, type_) for each in registers) + "}"
    function = f"machine::{'load' if loads else 'store'}<machine::{space}>"
    call = f"{function}({writer.address(memory)}, v, {writer.place});"
    parts = [f"{C_TYPES[type_]} v[{len(registers)}]{values};", call]
    if loads:
        parts += [writer.write(each, type_, f"v[{i}]") for i, each in enumerate(registers)]
    return f"{{ {' '.join(parts)} }}"


@instruction(r"mapa\.shared::cluster\.u32")
def _place_in_block(writer: Writer, _: "re.Match[str]") -> str:
    address, rank = (writer.read(writer.operand(number), "u32") for number in (1, 2))
    call = f"machine::in_block({address}, {rank}, {writer.place})"
    return writer.write(writer.operand(0), "u32", call)


@instruction(r"ld\.param\.(\w+)")
def _parameter(writer: Writer, match: "re.Match[str]") -> str:
    name = writer.operand(1).strip("[]")
    if (name, match[1]) not in writer.entry.parameters:
        raise writer.unknown()
    return writer.write(writer.operand(0), match[1].replace("f", "b"), variable(name))  # its bits


@instruction(r"mov\.b(32|64)")
def _pack(writer: Writer, match: "re.Match[str]") -> str:
    """Two halves to a register, a register to two halves, or a plain move."""
    whole, half = f"b{match[1]}", f"b{int(match[1]) // 2}"
    to, source = writer.instruction.operands
    shift = half[1:]
    if to.startswith("{"):
        low, high = operands_of(to.strip("{}"))
        parts = writer.write(low, half, "v"), writer.write(high, half, f"v >> {shift}")
        return f"{{ {C_TYPES[whole]} v = {writer.read(source, whole)}; {' '.join(parts)} }}"
    if source.startswith("{"):
        low, high = (writer.read(each, half) for each in operands_of(source.strip("{}")))
        return writer.write(to, whole, f"{C_TYPES[whole]}({high}) << {shift} | {low}")
    return writer.write(to, whole, writer.read(source, whole))


@instruction(r"bra(?:\.uni)?")
def _branch(writer: Writer, _: "re.Match[str]") -> str:
    return f"goto {variable(writer.operand(0))};"


@instruction(r"ret")
def _return(writer: Writer, _: "re.Match[str]") -> str:
    checks = ("expect_no_copies", "expect_no_visits", "expect_no_products")
    return f"{{ {' '.join(f'machine::{check}({writer.place});' for check in checks)} return; }}"


@instruction(r"cp\.async\.c[ag]\.shared\.global")
def _copy(writer: Writer, _: "re.Match[str]") -> str:
    to, source, count, *read = writer.instruction.operands
    if count not in ("4", "8", "16") or len(read) > 1:
        raise writer.unknown()
    size = writer.read(read[0] if read else count, "u32")
    addresses = f"{writer.address(to)}, {writer.address(source)}"
    return f"machine::start_copy({addresses}, {count}, {size}, {writer.place});"


@instruction(r"cp\.async\.commit_group")
def _close_copies(_: Writer, __: "re.Match[str]") -> str:
    return "machine::close_copies();"


@instruction(r"cp\.async\.wait_(?:group|all)")
def _wait_for_copies(writer: Writer, match: "re.Match[str]") -> str:
    if match[0].endswith("all"):
        return "machine::close_copies(); machine::wait_for_copies(0);"
    return f"machine::wait_for_copies({writer.read(writer.operand(0), 'u32')});"


@instruction(r"prefetch\.L2")
def _prefetch(_: Writer, __: "re.Match[str]") -> str:
    return ";"


@instruction(r"atom\.shared\.(add\.u32|or\.b32|max\.u32)")
def _atomic(writer: Writer, match: "re.Match[str]") -> str:
    b = writer.read(writer.operand(2), "u32")
    result = {"add.u32": "old + b", "or.b32": "old | b", "max.u32": "old > b ? old : b"}[match[1]]
    word = f"machine::atomic<machine::Shared>({writer.address(writer.operand(1))}, {writer.place})"
    old = writer.write(writer.operand(0), "u32", "old")
    return f"{{ uint32_t &word = {word}, old = word, b = {b}; word = {result}; {old} }}"
