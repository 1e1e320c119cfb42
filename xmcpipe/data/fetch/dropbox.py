"""Mirrors that are a shared folder of Dropbox.

With dl=1 the folder comes as one zip, which Dropbox makes while it sends it: no length, no byte ranges, and
so no going on from where a connection broke. Whether it is whole is seen when it is unpacked: a zip's table
of contents stands at its end.
"""

BASE = "https://www.dropbox.com"


def locate(address: str) -> str:
    """The URL of the zip; `address` is `ID/h?rlkey=KEY`, as in the folder's link."""
    return f"{page(address)}&dl=1"


def page(address: str) -> str:
    """Where a person fetches it."""
    return f"{BASE}/scl/fo/{address}"
