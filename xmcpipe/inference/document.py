"""A text to label. This module imports nothing, so that bad input is refused before torch is loaded."""

from typing import NamedTuple


class Document(NamedTuple):
    """A text to label, and its id; None if its source has no ids."""

    id: str | None
    text: str
