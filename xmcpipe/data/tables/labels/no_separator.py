"""The separator `none`: no text separates labels, because each row has one label, whatever it contains.

This module imports no polars, so that configs can ask it.
"""

NONE = "none"


def one_label(separator: str | None) -> bool:
    """Whether the `separator` that the user named says that each row has one label."""
    return separator is not None and separator.lower() == NONE
