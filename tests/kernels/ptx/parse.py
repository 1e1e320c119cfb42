"""PTX as NVRTC writes it, read into the entries' parameters, registers, shared variables and instructions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DYNAMIC_ALIGNMENT = 128

# A directive of a line, a label, or a statement up to its semicolon.
TOKEN = re.compile(r"\s*(?:(\.loc[^\n]*)\n|([$\w]+):|[{}]\s*\n|([^;]+);)")
ENTRY = re.compile(r"\.entry\s+(\w+)\((.*?)\)([^{]*)\{\n", re.DOTALL)
CLUSTER = re.compile(r"\.reqnctapercluster\s+(\d+)(?:,\s*1)*\s*$", re.MULTILINE)
SHARED = re.compile(r"\.shared\s+\.align\s+(\d+)\s+\.[a-z](\d+)\s+([$\w]+)(\[(\d*)\])?")
REGISTER = re.compile(r"([%$\w]+?)(?:<(\d+)>)?$")


class UnknownPtxError(Exception):
    """PTX that the translator doesn't know; the message names it."""


@dataclass(frozen=True)
class Instruction:
    """`@predicate opcode operands;`, or a label if the opcode is empty.

    `source` is the line of the kernel that it was compiled from, like "include/rows.cuh:46".
    """

    text: str
    source: str
    opcode: str
    operands: tuple[str, ...]
    predicate: str | None = None


@dataclass
class Entry:
    """An entry of a PTX module."""

    name: str
    parameters: list[tuple[str, str]]  # name and type
    cluster: int = 1  # blocks of a cluster
    registers: dict[str, str] = field(default_factory=dict)  # type by name
    shared: dict[str, int] = field(default_factory=dict)  # offset by name
    static_bytes: int = 0  # of shared memory, before the dynamic part
    instructions: list[Instruction] = field(default_factory=list)


def parse(ptx: str, name: str) -> Entry:
    """The entry `name`. Raises UnknownPtxError if the module lacks it."""
    ptx = re.sub(r"//[^\n]*|/\*.*?\*/", "", ptx, flags=re.DOTALL)
    for match in ENTRY.finditer(ptx):
        if match[1] == name:
            parameters = re.findall(r"\.param\s+\.(\w+)\s+(\w+)", match[2])
            entry = Entry(name, [(parameter, type_) for type_, parameter in parameters])
            if cluster := CLUSTER.search(match[3]):
                entry.cluster = int(cluster[1])
            _place_shared(entry, ptx[: match.end()].partition(".entry")[0] + _body(ptx, match.end()))
            _read_body(entry, _body(ptx, match.end()), _file_names(ptx))
            return entry
    raise UnknownPtxError(f"PTX without an entry {name}")


def operands_of(text: str) -> tuple[str, ...]:
    """Operands separated by commas, those in brackets or braces as one."""
    return tuple(re.sub(r"\s+", "", part) for part in re.findall(r"(?:\{[^}]*\}|\[[^]]*\]|[^,{\[])+", text))


def _body(ptx: str, start: int) -> str:
    """The text from `start` to the brace that closes the entry."""
    depth = 1
    for match in re.compile(r"[{}]").finditer(ptx, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return ptx[start : match.start()]
    raise UnknownPtxError("PTX with an unclosed brace")


def _place_shared(entry: Entry, text: str) -> None:
    """Lay static shared memory out in the order of the text, dynamic shared memory behind it.

    That is at a place which is aligned as it asks for, and no better.
    """
    dynamic, most = [], DYNAMIC_ALIGNMENT
    for alignment, bits, name, array, length in SHARED.findall(text):
        if array and not length:
            dynamic.append(name)
            most = max(most, int(alignment))
            continue
        start = -(-entry.static_bytes // int(alignment)) * int(alignment)
        entry.shared[name] = start
        entry.static_bytes = start + int(bits) // 8 * int(length or 1)
    entry.static_bytes = (-(-entry.static_bytes // most) | bool(dynamic)) * most
    entry.shared.update(dict.fromkeys(dynamic, entry.static_bytes))


def _file_names(ptx: str) -> dict[str, str]:
    """The kernels' files by the numbers in `.loc`; NVRTC puts the current folder before their names."""
    names = dict(re.findall(r'\.file\s+(\d+)\s+"([^"]+)"', ptx))
    folder = f"{Path.cwd()}/"
    return {number: name.removeprefix(folder) for number, name in names.items()}


def _read_body(entry: Entry, body: str, files: dict[str, str]) -> None:
    source = "unknown"
    for location, label, statement in _tokens(body):
        if location:
            number, line = location.split()[1:3]
            if line != "0":  # code that belongs to no line
                source = f"{files.get(number, number)}:{line}"
        elif label:
            entry.instructions.append(Instruction(label, source, "", (label,)))
        elif statement.startswith(".reg"):
            _declare(entry, statement)
        elif statement and not statement.startswith((".shared", ".pragma")):
            entry.instructions.append(_instruction(statement, source))


def _tokens(body: str) -> Iterator[tuple[str, str, str]]:
    at = 0
    while match := TOKEN.match(body, at):
        yield match[1] or "", match[2] or "", (match[3] or "").strip().lstrip("{} \t\n")
        at = match.end()
    if body[at:].strip(" \t\n{}"):
        raise UnknownPtxError(f"PTX that can't be read: {body[at:].strip()[:80]!r}")


def _declare(entry: Entry, statement: str) -> None:
    _, type_, names = statement.split(maxsplit=2)
    for declared in names.split(","):
        match = REGISTER.fullmatch(declared.strip())
        if match is None:
            raise UnknownPtxError(f"unknown declaration {statement!r}")
        name, count = match.groups()
        several = [name] if count is None else [f"{name}{number}" for number in range(int(count))]
        entry.registers.update(dict.fromkeys(several, type_.lstrip(".")))


def _instruction(statement: str, source: str) -> Instruction:
    match = re.fullmatch(r"(?:@(!?[%\w]+)\s+)?([\w.:]+)\s*(.*)", statement, re.DOTALL)
    if match is None:
        raise UnknownPtxError(f"unknown statement {statement!r} of {source}")
    return Instruction(" ".join(statement.split()), source, match[2], operands_of(match[3]), match[1])
