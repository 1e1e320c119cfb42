"""`~` stands for a home only where there is one."""

from pathlib import Path

import pytest

from xmcpipe.home import expanded


def test_what_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert expanded("~/a/b") == expanded(Path("~/a/b")) == Path("/home/ada/a/b")
    assert expanded("~") == Path("/home/ada")


@pytest.mark.parametrize("path", ["~no-such-user.csv", "~no-such-user/a", "./~root/a", "a/~/b", "", "a~"])
def test_what_stays(path: str) -> None:
    assert expanded(path) == Path(path)
