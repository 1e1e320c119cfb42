"""Mirrors that are a plain URL."""


def locate(address: str) -> str:
    """The URL of the file."""
    return address


def page(address: str) -> str:
    """Where a person fetches it."""
    return address
