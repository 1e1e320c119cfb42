"""No block of six lines twice in xmcpipe/ops.

A block is six consecutive lines of one file, with each run of white space replaced by one space. Lines that
don't count are skipped: blank lines, comments, lines of punctuation only, import statements, and the
signatures of functions that torch.library registers (an operator and its fake must have the same flat
signature). Only equal text is found, not the same code with other names. Overlapping blocks
are reported as one.
"""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from tools.house_rules.files import Finding, Module
from tools.house_rules.functions import registered

BLOCK = 6
WITHOUT_REPEATS = "xmcpipe/ops/"
IGNORED = re.compile(r"\s*(#.*|\W*)$")  # comments, and lines that are blank or only punctuation


class Line(NamedTuple):
    """A line that counts: its file, its number from 1, and its text with single spaces."""

    path: str
    number: int
    text: str


def repeated_blocks(modules: list[Module]) -> list[Finding]:
    files = [list(_lines(module)) for module in modules if module.path.startswith(WITHOUT_REPEATS)]
    first: dict[tuple[str, ...], Line] = {}
    found: list[Finding] = []
    for lines in files:
        previous = (
            -2
        )  # where the last repeated block begins; a block right after it overlaps and is not reported
        for place in range(len(lines) - BLOCK + 1):
            block = tuple(line.text for line in lines[place : place + BLOCK])
            original = first.setdefault(block, lines[place])
            if original is lines[place]:
                continue
            if place != previous + 1:
                text = f"{BLOCK} or more lines repeat {original.path}:{original.number}, expected one place"
                found.append(Finding(lines[place].path, lines[place].number, text))
            previous = place
    return found


def _lines(module: Module) -> Iterator[Line]:
    ignored = _import_lines(module.tree) | _registered_signatures(module.tree)
    for number, text in enumerate(module.lines, start=1):
        if number not in ignored and not IGNORED.match(text):
            yield Line(module.path, number, " ".join(text.split()))


def _import_lines(tree: ast.Module) -> set[int]:
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return {line for node in imports for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def _registered_signatures(tree: ast.Module) -> set[int]:
    return {line for each in registered(tree) for line in range(each.lineno, each.body[0].lineno)}
