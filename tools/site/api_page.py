"""The public names of `import xmcpipe` as Markdown: signatures and docstrings, from the code."""

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

import xmcpipe

ORDER = ("load", "Model", "Prediction", "XMCClassifier", "evaluate", "compare", "XmcpipeError")
CONSTRUCTED = ("XMCClassifier",)  # by users; other objects are returned by functions
LINE = 80
MODULES = re.compile(r"\b(?:[a-z_]+\.)+")
COLUMNS = re.compile(r"(\w+) {2,}(\S.*)")  # a name, and what it is


def api_page() -> str:
    """A section for each public name, and one below it for each method and attribute of a class."""
    missing = {*xmcpipe.__all__} - {*ORDER, "__version__"}
    assert not missing, f"add {missing} to ORDER"
    return "\n".join(part for name in ORDER for part in _named(name, getattr(xmcpipe, name)))


def _named(name: str, value: Any) -> Iterator[str]:
    yield f"## xmcpipe.{name}\n"
    if not isinstance(value, type):
        yield _described(name, value)
        return
    yield _described(name, value if name in CONSTRUCTED else None, value.__doc__)
    for member, inner in vars(value).items():
        if member.startswith("_") or not _documented(inner):
            continue
        yield f"### {name}.{member}\n"
        if isinstance(inner, property | cached_property):
            yield text_of(inner.__doc__)
        else:
            yield _described(member, inner.__func__ if isinstance(inner, classmethod) else inner)


def _documented(member: Any) -> bool:
    return bool(getattr(member, "__doc__", None)) and (
        inspect.isfunction(member) or isinstance(member, property | cached_property | classmethod)
    )


def _described(name: str, value: Any, documentation: str | None = None) -> str:
    shown = "" if value is None else f"```python\n{signature(name, value)}\n```\n\n"
    return shown + text_of(documentation or (value.__doc__ if value is not None else None))


def signature(name: str, value: Any) -> str:
    """The call of a function or class, a parameter a line if it is long."""
    found = inspect.signature(value)
    shown: list[str] = []
    for each in found.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        default = "" if each.default is inspect.Parameter.empty else f" = {each.default!r}"
        shown.append(f"{each.name}: {_type(each.annotation)}{default}")
    returned = "" if isinstance(value, type) else f" -> {_type(found.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returned}"
    if len(line) <= LINE:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){returned}"


def _type(annotation: Any) -> str:
    """A type without the modules of its names."""
    if get_origin(annotation) is Union:  # X | None with a Literal in it
        return " | ".join(map(_type, get_args(annotation)))
    if annotation is NoneType:
        return "None"
    if get_origin(annotation) is Literal:
        return f"Literal{list(get_args(annotation))}"
    return MODULES.sub("", inspect.formatannotation(annotation).replace("'", ""))


def text_of(documentation: str | None) -> str:
    """A docstring as Markdown: paragraphs of names and what they are become tables."""
    paragraphs = inspect.cleandoc(documentation or "").split("\n\n")
    return "\n\n".join(map(_paragraph, paragraphs)) + "\n"


def _paragraph(text: str) -> str:
    lines = text.splitlines()
    if not all(COLUMNS.fullmatch(line) or line.startswith("    ") for line in lines) or not COLUMNS.fullmatch(
        lines[0]
    ):
        return text
    rows: list[list[str]] = []
    for line in lines:
        match = COLUMNS.fullmatch(line)
        if match:
            rows.append([match[1], match[2]])
        else:
            rows[-1][1] += " " + line.strip()
    return "\n".join(["| | |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in rows)])
