"""The text of a kernel as NVRTC compiles it, with all includes expanded, and the kernel's parameters.

The text includes no other file, so a cubin depends only on text, macros, architecture and compiler.
Parameters are parsed from the `extern "C"` declaration, so a launch checks its arguments against the same
text that was compiled. By convention `weight_t` is the number format that the macro WEIGHT chooses.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xmcpipe.errors import XmcpipeError
from xmcpipe.ops.nvrtc.variant import FORMAT_NAMES, Kernel, Variant

_PACKAGE = Path(__file__).parents[2]
FOLDERS = (_PACKAGE / "_kernels", _PACKAGE.parent / "kernels")  # of a wheel, of a checkout

INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
TYPES = {
    "float": "float32",
    "double": "float64",
    "int": "int32",
    "unsigned char": "uint8",
    "unsigned short": "uint16",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long long": "int64",
    "unsigned long long": "uint64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "i64": "int64",
    "u64": "uint64",
    "Bf16": "bfloat16",
    "Fp16": "float16",
    "E4m3": "float8_e4m3fn",
    "void": "any",
}
BYTES = {"float32": 4, "float64": 8, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel: `type` is a number format as NumPy and torch name it, "any" for void*."""

    name: str
    type: str
    pointer: bool
    optional: bool = False

    @property
    def bytes(self) -> int:
        """Its width in the kernel's argument block, in bytes."""
        return 8 if self.pointer else BYTES[self.type]


def folder() -> Path:
    """The folder of the kernels' files. Raises XmcpipeError if the installation lacks it."""
    for path in FOLDERS:
        if path.is_dir():
            return path
    raise XmcpipeError(f"the kernels are missing: {FOLDERS[0]} does not exist", "install xmcpipe again")


def text_of(source: str) -> str:
    """The file `source` of `folder()` with its includes expanded, each once.

    Raises FileNotFoundError for an include that is not in the folder: kernels use no other headers.
    """
    return _text_of(source, folder())


def parameters(variant: Variant) -> tuple[Parameter, ...]:
    """The parameters of a kernel's entry, in order. Raises ValueError if its text lacks the entry."""
    kernel, formats = variant.kernel, _formats(variant)
    text = _without_comments(text_of(kernel.source))
    # An entry is: extern "C" __global__ void [IN_CLUSTERS] [__launch_bounds__(...)] NAME(parameters)
    attributes = r"(?:IN_CLUSTERS\s+)?(?:__launch_bounds__\([^)]*\)\s+)?"
    pattern = rf'extern\s+"C"\s+__global__\s+void\s+{attributes}{kernel.entry}\s*\(([^)]*)\)'
    declaration = re.search(pattern, text)
    if declaration is None:
        raise ValueError(f'{kernel.source} has no extern "C" __global__ void {kernel.entry}(…)')
    return tuple(_parameter(part, kernel, formats) for part in declaration[1].split(",") if part.strip())


@cache
def _text_of(source: str, within: Path) -> str:
    return "\n".join(_lines(source, within, {source})) + "\n"


def _lines(source: str, within: Path, seen: set[str]) -> list[str]:
    # #line directives let compiler errors name the original file and line.
    lines = [f'#line 1 "{source}"']
    for number, line in enumerate((within / source).read_text(encoding="utf-8").splitlines(), 1):
        included = INCLUDE.match(line)
        if included is None:
            lines.append("" if line.strip() == "#pragma once" else line)
            continue
        if included[1] not in seen:
            seen.add(included[1])
            lines += _lines(included[1], within, seen)
        lines.append(f'#line {number + 1} "{source}"')
    return lines


def _formats(variant: Variant) -> dict[str, str]:
    """The number formats of the types that macros choose in this variant, like {"weight_t": "bfloat16"}."""
    macros = dict(variant.macros)
    # Names like weight_t belong to macros of number formats; other macros give entries that no text uses.
    by_macro = {
        f"{name.lower()}_t": FORMAT_NAMES[value] for name, value in macros.items() if value in FORMAT_NAMES
    }
    return by_macro | {type_: FORMAT_NAMES[of(macros)] for type_, of in variant.kernel.formats}


def _parameter(text: str, kernel: Kernel, formats: dict[str, str]) -> Parameter:
    # "const float* __restrict__ x" becomes the words float, *, x.
    words = re.sub(r"\b(const|__restrict__|volatile)\b", " ", text).replace("*", " * ").split()
    *type_words, name = words
    pointer = "*" in type_words
    c_type = " ".join(word for word in type_words if word != "*")
    type_ = TYPES.get(c_type) or formats.get(c_type)
    if type_ is None or type_words.count("*") > 1 or not (pointer or type_ in BYTES):
        raise ValueError(f"{kernel.source}: {kernel.entry} has a parameter of unknown type: {text.strip()!r}")
    return Parameter(name, type_, pointer, name in kernel.optional)


def _without_comments(text: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
