"""PTX instructions that lanes execute together: barriers, exchanges, matrices (`machine/warps.hpp`)."""

import re

from tests.kernels.ptx.parse import operands_of
from tests.kernels.ptx.writer import Writer, instruction


@instruction(r"bar\.(sync|warp\.sync|red\.or\.pred)")
def _barrier(writer: Writer, match: "re.Match[str]") -> str:
    operands, place = writer.instruction.operands, writer.place
    if match[1] == "sync" and operands == ("0",):
        return f"machine::block_barrier({place});"
    if match[1] == "warp.sync" and len(operands) == 1:
        return f"machine::warp_barrier({writer.read(operands[0], 'u32')}, {place});"
    if match[1] == "red.or.pred" and len(operands) == 3 and operands[1] == "0":
        call = f"machine::block_barrier_or({writer.read(operands[2], 'pred')}, {place})"
        return writer.write(operands[0], "pred", call)
    raise writer.unknown()


@instruction(r"barrier\.cluster\.(arrive|wait)(?:\.release|\.acquire)?(?:\.aligned)?")
def _cluster_barrier(writer: Writer, match: "re.Match[str]") -> str:
    return f"machine::cluster_{match[1]}({writer.place});"


@instruction(r"shfl\.sync\.(idx|bfly|up)\.b32")
def _shuffle(writer: Writer, match: "re.Match[str]") -> str:
    to, _, in_range = writer.operand(0).partition("|")
    value, number, clamp, mask = (writer.read(each, "u32") for each in writer.instruction.operands[1:])
    lane = "host::lane_of_warp()"
    source = {"idx": f"{number} & 31", "bfly": f"{lane} ^ {number}", "up": f"{lane} - int({number})"}[
        match[1]
    ]
    clamped = 0 if match[1] == "up" else 31
    call = f"machine::shuffle({value}, source, {clamp}, {clamped}, {mask}, {writer.place})"
    parts = [f"int source = {source};", writer.write(to, "b32", call)]
    if in_range:
        parts.append(writer.write(in_range, "pred", "source >= 0 && source < 32"))
    return f"{{ {' '.join(parts)} }}"


@instruction(r"vote\.sync\.ballot\.b32")
def _ballot(writer: Writer, _: "re.Match[str]") -> str:
    predicate, mask = writer.read(writer.operand(1), "pred"), writer.read(writer.operand(2), "u32")
    return writer.write(writer.operand(0), "b32", f"machine::ballot({predicate}, {mask}, {writer.place})")


@instruction(r"redux\.sync\.add\.[su]32")
def _sum_of_warp(writer: Writer, _: "re.Match[str]") -> str:
    value, mask = (writer.read(writer.operand(number), "u32") for number in (1, 2))
    return writer.write(writer.operand(0), "u32", f"machine::sum_of_warp({value}, {mask}, {writer.place})")


@instruction(r"ldmatrix\.sync\.aligned\.m8n8\.x4(\.trans)?\.shared\.b16")
def _load_matrices(writer: Writer, match: "re.Match[str]") -> str:
    registers = operands_of(writer.operand(0).strip("{}"))
    transposed = "true" if match[1] else "false"
    call = f"machine::load_matrices(v, {writer.address(writer.operand(1))}, {transposed}, {writer.place});"
    parts = [
        "uint32_t v[4];",
        call,
        *(writer.write(each, "b32", f"v[{i}]") for i, each in enumerate(registers)),
    ]
    return f"{{ {' '.join(parts)} }}"


@instruction(r"mma\.sync\.aligned\.m16n8k16\.row\.col\.f32\.(bf16|f16)\.\1\.f32")
def _multiply_matrices(writer: Writer, match: "re.Match[str]") -> str:
    out, *inputs = (operands_of(each.strip("{}")) for each in writer.instruction.operands)
    left, right, sums = (
        ", ".join(writer.read(each, type_) for each in listed)
        for listed, type_ in zip(inputs, ("b32", "b32", "f32"), strict=True)
    )
    bf16 = "true" if match[1] == "bf16" else "false"
    parts = [f"float c[4] = {{{sums}}};", f"uint32_t a[4] = {{{left}}}, b[2] = {{{right}}};"]
    parts += [f"machine::multiply_matrices(c, a, b, {bf16});"]
    parts += [writer.write(each, "f32", f"c[{i}]") for i, each in enumerate(out)]
    return f"{{ {' '.join(parts)} }}"
