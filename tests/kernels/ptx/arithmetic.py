"""The PTX instructions that compute in registers, each as a C++ expression of its operands a, b, c, d.

PTX ISA, "Instruction Set", gives their meaning. Integers wrap (g++ -fwrapv). Functions are those of
`machine/arithmetic.hpp`.
"""

from dataclasses import dataclass

C_TYPES = {
    "pred": "bool",
    **{f"b{bits}": f"uint{bits}_t" for bits in (16, 32, 64)},
    **{f"u{bits}": f"uint{bits}_t" for bits in (16, 32, 64)},
    **{f"s{bits}": f"int{bits}_t" for bits in (16, 32, 64)},
    "f32": "float",
    "f16": "uint16_t",  # its bits
}
WIDE = {"s16": "s32", "u16": "u32", "s32": "s64", "u32": "u64"}
SIGNED, UNSIGNED, BITS = "s16 s32 s64", "u16 u32 u64", "b16 b32 b64"
INTEGERS = f"{SIGNED} {UNSIGNED}"


@dataclass(frozen=True)
class Meaning:
    """What an instruction computes: a C++ expression, and the types of its result and operands."""

    expression: str
    result: str
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """The meaning of `name.type` for each type; "T" stands for the type, "W" for the one twice as wide."""

    name: str
    types: str
    expression: str
    result: str = "T"
    operands: str = "T T"

    def meanings(self) -> dict[str, Meaning]:
        """By opcode."""
        out = {}
        for type_ in self.types.split():
            names = {"T": type_, "W": WIDE.get(type_, "")}
            result, *operands = (names.get(each, each) for each in (self.result, *self.operands.split()))
            expression = self.expression.replace("W", C_TYPES.get(names["W"], ""))
            expression = expression.replace("BITS", type_[1:])
            out[f"{self.name}.{type_}"] = Meaning(expression, result, tuple(operands))
        return out


# Comparisons of floats are false for NaN, those that end in "u" true.
_ORDERED = {"eq": "a == b", "lt": "a < b", "le": "a <= b", "gt": "a > b", "ge": "a >= b"}
_UNORDERED = {"ltu": "!(a >= b)", "leu": "!(a > b)", "gtu": "!(a <= b)", "geu": "!(a < b)"}
_COMPARISONS = [
    *(Rule(f"setp.{name}", f"{INTEGERS} {BITS} f32", test, "pred") for name, test in _ORDERED.items()),
    *(Rule(f"setp.{name}", "f32", test, "pred") for name, test in _UNORDERED.items()),
    Rule("setp.ne", f"{INTEGERS} {BITS}", "a != b", "pred"),
    Rule("setp.ne", "f32", "a < b || a > b", "pred"),
    Rule("setp.neu", "f32", "a != b", "pred"),
    Rule("setp.equ", "f32", "!(a < b || a > b)", "pred"),
    Rule("setp.nan", "f32", "a != a || b != b", "pred"),
    Rule("setp.num", "f32", "a == a && b == b", "pred"),
]
_INTEGER_SIZES = [f"{sign}{bits}" for sign in "su" for bits in (16, 32, 64)]
_CONVERSIONS = [
    *(Rule(f"cvt.{to}", " ".join(_INTEGER_SIZES), "a", to, "T") for to in _INTEGER_SIZES),
    Rule("cvt.f32", "f16", "host::fp16_value(a)", "f32", "T"),
    Rule("cvt.rn.f16", "f32", "host::fp16_bits(a)", "f16", "T"),
    Rule(
        "cvt.rn.f16x2", "e4m3x2", "machine::f16_of_e4m3(a) | machine::f16_of_e4m3(a >> 8) << 16", "b32", "b16"
    ),
    Rule("cvt.rn.f32", "s32 u32", "float(a)", "f32", "T"),
    Rule("cvt.rzi.u32", "f32", "machine::to_unsigned(a)", "u32", "T"),
    Rule("cvt.sat.f32", "f32", "machine::saturated(a)", "f32", "T"),
]
_RULES = [
    Rule("mov", f"{BITS} {UNSIGNED} {SIGNED} f32 pred", "a", operands="T"),
    Rule("cvta.to.global", "u64", "a", operands="T"),
    Rule("add", f"{INTEGERS} f32", "a + b"),
    Rule("sub", f"{INTEGERS} f32", "a - b"),
    Rule("mul.lo", INTEGERS, "a * b"),
    Rule("mul", "f32", "a * b"),
    Rule("mul.wide", " ".join(WIDE), "W(a) * W(b)", "W"),
    Rule("mul.hi", "s32 u32", "(W(a) * W(b)) >> 32"),
    Rule("mad.lo", INTEGERS, "a * b + c", operands="T T T"),
    Rule("fma.rn", "f32", "std::fma(a, b, c)", operands="T T T"),
    Rule("fma.rm", "f32", "machine::fma_down(a, b, c)", operands="T T T"),
    Rule("add.rz", "f32", "machine::add_toward_zero(a, b)"),
    Rule("div", "s32 u32 s64 u64", "a / machine::divisor(b)"),
    Rule("rem", "s32 u32 s64 u64", "a % machine::divisor(b)"),
    Rule("div.rn", "f32", "a / b"),
    Rule("ex2.approx.ftz", "f32", "machine::exp2_flushed(a)", operands="T"),
    Rule("min", INTEGERS, "a < b ? a : b"),
    Rule("max", INTEGERS, "a > b ? a : b"),
    Rule("min", "f32", "std::fmin(a, b)"),
    Rule("max", "f32", "std::fmax(a, b)"),
    Rule("neg", f"{SIGNED} f32", "-a", operands="T"),
    Rule("abs", "f32", "std::fabs(a)", operands="T"),
    Rule("and", BITS, "a & b"),
    Rule("or", BITS, "a | b"),
    Rule("xor", BITS, "a ^ b"),
    Rule("not", BITS, "~a", operands="T"),
    Rule("and", "pred", "a && b"),
    Rule("or", "pred", "a || b"),
    Rule("xor", "pred", "a != b"),
    Rule("not", "pred", "!a", operands="T"),
    Rule("shl", BITS, "b < BITS ? a << b : 0", operands="T u32"),
    Rule("shr", f"{UNSIGNED} {BITS}", "b < BITS ? a >> b : 0", operands="T u32"),
    Rule("shr", SIGNED, "a >> (b < BITS ? b : BITS - 1)", operands="T u32"),
    Rule("popc", "b32 b64", "__builtin_popcountll(a)", "u32", "T"),
    Rule("bfi", "b32", "machine::with_field(a, b, c, d)", operands="T T u32 u32"),
    Rule("selp", f"{BITS} {INTEGERS} f32", "c ? a : b", operands="T T pred"),
]

MEANINGS: dict[str, Meaning] = {
    opcode: meaning
    for rule in [*_RULES, *_COMPARISONS, *_CONVERSIONS]
    for opcode, meaning in rule.meanings().items()
}
