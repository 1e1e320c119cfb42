"""PTX instructions of a warpgroup, four warps together: matrix products that run meanwhile
(`machine/warpgroups.hpp`).
"""

import re

from tests.kernels.ptx.parse import operands_of
from tests.kernels.ptx.writer import Writer, instruction, variable


@instruction(r"wgmma\.mma_async\.sync\.aligned\.m64n(\d+)k16\.f32\.bf16\.bf16")
def _product(writer: Writer, match: "re.Match[str]") -> str:
    _require_all(writer)
    columns, (sums, a, b, keep, *rest) = int(match[1]), writer.instruction.operands
    registers = operands_of(sums.strip("{}"))
    in_registers = a.startswith("{")
    # The signs of A and B, then whether each is stored along its rows; A in registers isn't stored.
    signs, along = rest[:2], ["0", *rest[2:]] if in_registers else rest[2:]
    if len(registers) != columns // 2 or signs != ["1", "1"] or len(along) != 2 or not {*along} <= {"0", "1"}:
        raise writer.unknown()
    of_a = operands_of(a.strip("{}")) if in_registers else ()
    _require_fence(writer, {*registers, *of_a})
    parts = [f"machine::Product it{{{writer.place}, {columns}}};"]
    if in_registers:
        parts += [f"it.a_registers[{i}] = {writer.read(each, 'b32')};" for i, each in enumerate(of_a)]
        parts += [f"it.a_places[{i}] = &{variable(each)};" for i, each in enumerate(of_a)]
    else:
        parts.append(f"it.a = {writer.read(a, 'b64')};")
    parts += [f"it.b = {writer.read(b, 'b64')}; it.keep = {writer.read(keep, 'pred')};"]
    parts += [f"it.a_in_registers = {int(in_registers)};"]
    parts += [f"it.{name}_along_k = {int(flag == '0')};" for name, flag in zip("ab", along, strict=True)]
    places = ", ".join(f"&{variable(each)}" for each in registers)
    parts += [f"uint32_t* sums[] = {{{places}}}; machine::start_product(it, sums);"]
    return f"{{ {' '.join(parts)} }}"


def _require_fence(writer: Writer, registers: set[str]) -> None:
    """Expect wgmma.fence in the same straight piece of code, and no use of the sums or of A since, but by
    products.
    """
    for before in reversed(writer.entry.instructions[: writer.place - 1]):
        if before.opcode.startswith("wgmma.fence."):
            return
        if before.opcode.startswith(("bra", "ret")) or not before.opcode:
            break
        used = {*re.findall(r"[%$\w]+", " ".join(before.operands))}
        if not before.opcode.startswith("wgmma.") and used & registers:
            raise writer.unknown("order (no wgmma.fence between a use of the sums or of A and)")
    raise writer.unknown("order (no wgmma.fence in the same straight piece of code before)")


def _require_all(writer: Writer) -> None:
    """These instructions are of a whole warp (.aligned), so a predicate would have to be that of all."""
    if writer.instruction.predicate is not None:
        raise writer.unknown("choice of threads for an instruction of all of them")


@instruction(r"fence\.proxy\.async(?:\.shared::cta)?")
def _fence(_: Writer, __: "re.Match[str]") -> str:
    return "machine::fence_async();"


@instruction(r"wgmma\.fence\.sync\.aligned")
def _order(writer: Writer, _: "re.Match[str]") -> str:
    _require_all(writer)
    return ";"


@instruction(r"wgmma\.commit_group\.sync\.aligned")
def _close(writer: Writer, _: "re.Match[str]") -> str:
    _require_all(writer)
    return "machine::close_products();"


@instruction(r"wgmma\.wait_group\.sync\.aligned")
def _wait(writer: Writer, _: "re.Match[str]") -> str:
    _require_all(writer)
    return f"machine::wait_for_products({writer.read(writer.operand(0), 'u32')}, {writer.place});"
