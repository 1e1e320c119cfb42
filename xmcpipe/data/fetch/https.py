"""Mirrors that are plain URLs."""


def locate(address: str) -> str:
    """The URL of the file."""
    return address


def page(address: str) -> str:
    """The URL where a person can download the file."""
    return address
