"""Fixtures of the tests of `download`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_sets import use_lines_layout
from tests.web_site import Site, running_site
from xmcpipe.data.fetch import dropbox, gdrive, transfer


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web site in place of all mirrors, and an empty cache."""
    with running_site() as site:
        monkeypatch.setattr(gdrive, "BASE", site.address)
        monkeypatch.setattr(dropbox, "BASE", site.address)
        monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
        monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        use_lines_layout(monkeypatch)
        yield site
