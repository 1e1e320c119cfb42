"""The files that the rules read, and the class of a finding."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OUTPUTS = ("artifacts", "build", "dist")  # what commands make in a checkout
PYTHON = (".py",)
CUDA = (".cu", ".cuh", ".hpp", ".cpp")


class Finding(NamedTuple):
    """One place that breaks a rule; sorted by path and line."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class Source(NamedTuple):
    """A file of text. `path` is relative to the root, with forward slashes."""

    path: str
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


class Module(NamedTuple):
    """A file of Python with its syntax tree."""

    path: str
    lines: list[str]
    tree: ast.Module


def folders(root: Path) -> Iterator[Path]:
    """The root and each folder below it, without hidden ones, `__pycache__` and what commands make."""
    for folder, below, _ in os.walk(root):
        skipped = {"__pycache__", *(OUTPUTS if Path(folder) == root else ())}
        below[:] = sorted(each for each in below if not each.startswith(".") and each not in skipped)
        yield Path(folder)


def files(folder: Path) -> list[Path]:
    """The files directly in `folder`, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def sources(root: Path, suffixes: tuple[str, ...]) -> list[Source]:
    """Every covered file whose name ends in one of `suffixes`."""
    paths = [path for folder in folders(root) for path in files(folder) if path.suffix in suffixes]
    return [Source(path.relative_to(root).as_posix(), path.read_text("utf-8").splitlines()) for path in paths]


def modules(root: Path) -> list[Module]:
    """Every covered file of Python. Raises SyntaxError for a file that isn't Python."""
    return [
        Module(source.path, source.lines, ast.parse(source.text, source.path))
        for source in sources(root, PYTHON)
    ]
