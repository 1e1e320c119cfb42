"""Mirrors that are shared folders on Dropbox.

With dl=1, Dropbox sends the folder as a zip file, which it creates while it sends it. There is no length and
there are no byte ranges, so a broken transfer can't be resumed. Only unpacking shows whether the file is
complete, because the table of contents of a zip file is at its end.
"""

BASE = "https://www.dropbox.com"


def locate(address: str) -> str:
    """The URL of the zip file; `address` is `ID/h?rlkey=KEY`, as in the link to the folder."""
    return f"{page(address)}&dl=1"


def page(address: str) -> str:
    """The URL of the page where a person can download the folder."""
    return f"{BASE}/scl/fo/{address}"
