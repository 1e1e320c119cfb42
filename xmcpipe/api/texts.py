"""Texts and label names as a program gives them, checked: nothing is taken for a text that isn't one."""

from collections.abc import Iterable, Mapping
from typing import Any

from xmcpipe.errors import XmcpipeError


def text_list(texts: Any) -> list[str]:
    """The texts of an iterable (list, NumPy array, pandas Series, generator) as a list.

    Raises XmcpipeError for anything that isn't an iterable of strings; the error names the first wrong row.
    """
    return _strings(texts, "texts", "row")


def name_list(names: Any, what: str) -> list[str]:
    """Label names; a single string is one name. Raises XmcpipeError if they aren't strings."""
    return [names] if isinstance(names, str) else _strings(names, what, "place")


def _strings(values: Any, what: str, place: str) -> list[str]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise XmcpipeError(f"expected {what}, a list of strings, got {_kind(values)}", "put it into a list")
    found = list(values)
    for number, value in enumerate(found):
        if not isinstance(value, str):
            raise XmcpipeError(
                f"expected strings in {what}, got {_kind(value)} in {place} {number}",
                'replace a missing value with ""' if value is None or value != value else "convert it to str",
            )
    return found


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
