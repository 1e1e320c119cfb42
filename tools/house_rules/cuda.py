"""Functions of at most 40 lines in CUDA and C++, found by counting braces.

This is not a parser. Comments and the contents of strings are blanked, preprocessor lines become single
control characters, and braces are counted; a brace that `#if` and `#else` both open counts once. A brace
opens a function if it is outside functions and the text before it ends with a parameter list: `void f(int
a) {`, also `... const {`. Lines are counted from the first line of the declaration (`template <...>`,
`__global__`) to the closing brace. Macros of several lines don't count as functions.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tools.house_rules.files import Finding, Source
from tools.house_rules.functions import MOST_LINES, has_reason, too_long

IF, ELSE, ENDIF = "\x01", "\x02", "\x03"
CONTROL = {"if": IF, "ifdef": IF, "ifndef": IF, "else": ELSE, "elif": ELSE, "endif": ENDIF}
HIDDEN = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w+)(?:[^\n\\]|\\\n|\\.)*", re.MULTILINE)
NAME = re.compile(r"([\w~]+)\s*$")


class CudaFunction(NamedTuple):
    """A function's name, and its first and last line, counted from 1."""

    name: str
    start: int
    end: int


def long_cuda_functions(source: Source) -> list[Finding]:
    return [
        too_long(source.path, function.start, function.name, length, comment="//")
        for function in cuda_functions(source.text)
        if (length := function.end - function.start + 1) > MOST_LINES
        and not has_reason(source.lines, function.start, comment="//")
    ]


def cuda_functions(text: str) -> Iterator[CudaFunction]:
    """The functions of a file, in the order of their closing braces."""
    # For each open brace: the name of the function that it opens, or "", and the line where that begins.
    open_braces: list[tuple[str, int]] = []
    num_at_if: list[int] = []  # number of open braces at each `#if`
    unclosed: list[tuple[str, int]] = []  # braces that the branch before `#else` opened and did not close
    head = 0  # position where the current declaration begins
    text = _without_hidden_parts(text)
    for place, character in enumerate(text):
        if character == IF:
            num_at_if.append(len(open_braces))
        elif character == ELSE:
            unclosed = open_braces[num_at_if[-1] :]
            del open_braces[num_at_if[-1] :]
        elif character == ENDIF:
            num_at_if.pop()
            unclosed = []
        elif character == "{":
            inside = any(name for name, _ in open_braces)
            function = ("" if inside else _function_name(text[head:place]), _line(text, head))
            open_braces.append(unclosed.pop(0) if unclosed else function)
        elif character == "}" and open_braces:
            name, start = open_braces.pop()
            if name:
                yield CudaFunction(name, start, text.count("\n", 0, place) + 1)
        if character in ";{}":
            head = place + 1


def _without_hidden_parts(text: str) -> str:
    """The text with the same number of lines, without comments, strings and directives."""
    text = HIDDEN.sub(lambda match: "\n" * match[0].count("\n"), text)
    return DIRECTIVE.sub(lambda match: CONTROL.get(match[1], "") + "\n" * match[0].count("\n"), text)


def _function_name(declaration: str) -> str:
    """The name of the function that a declaration begins; "" if it begins something else."""
    declaration = re.sub(r"(const|noexcept|[\x01-\x03\s])+$", "", declaration)
    if not declaration.endswith(")"):
        return ""
    depth = 0
    for place in range(len(declaration) - 1, -1, -1):
        depth += (declaration[place] == ")") - (declaration[place] == "(")
        if depth == 0:
            name = NAME.search(declaration[:place])
            return name[1] if name else ""
    return ""


def _line(text: str, head: int) -> int:
    """The line, counted from 1, of the first character after `head` that isn't white space or a directive."""
    while head < len(text) and (text[head].isspace() or text[head] in (IF, ELSE, ENDIF)):
        head += 1
    return text.count("\n", 0, head) + 1
