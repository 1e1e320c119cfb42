"""Mirrors that are a plain URL."""


def locate(address: str) -> str:
    """The URL of the file."""
    return address


def page(address: str) -> str:
    """The page where a person can download it."""
    return address
