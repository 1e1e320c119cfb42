"""Mirrors that are a shared folder of Dropbox.

With dl=1 the folder comes as one zip, which Dropbox creates while it sends it: without a length or byte
ranges, so a broken transfer can't be resumed. Whether it is complete shows when it is unpacked: a zip's table
of contents is at its end.
"""

BASE = "https://www.dropbox.com"


def locate(address: str) -> str:
    """The URL of the zip; `address` is `ID/h?rlkey=KEY`, as in the folder's link."""
    return f"{page(address)}&dl=1"


def page(address: str) -> str:
    """The page where a person can download it."""
    return f"{BASE}/scl/fo/{address}"
