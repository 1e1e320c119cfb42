"""A web site, and no pauses between retries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web_site import Site, running_site
from xmcpipe.data.fetch import transfer


@pytest.fixture(scope="session")
def _site() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def site(_site: Site) -> Site:
    """A site without any path."""
    _site.paths.clear()
    _site.requests.clear()
    return _site


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
