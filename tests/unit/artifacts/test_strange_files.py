"""A pipe or a device in place of a file that a stranger's manifest lists is damage: it is never read."""

import hashlib
import os
from pathlib import Path

import pytest

from xmcpipe.artifacts.manifest import Manifest, Output
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import Verified, require_whole_now
from xmcpipe.errors import XmcpipeError

EMPTY = Output(0, hashlib.sha256(b"").hexdigest())


@pytest.fixture(params=["pipe", "device"])
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> Artifact:
    folder = tmp_path / "model" / "0"
    folder.mkdir(parents=True)
    if request.param == "pipe":
        os.mkfifo(folder / "strange")
    else:
        (folder / "strange").symlink_to("/dev/zero")
    manifest = Manifest("train", "model", 2, "0" * 64, {}, {}, {"strange": EMPTY}, {}, {})
    manifest.write(folder)
    return Artifact.at(folder)


def test_it_is_not_read(strange: Artifact, tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"strange was changed: expected 0 bytes"):
        require_whole_now(strange)
    with pytest.raises(XmcpipeError, match=r"strange was changed: expected 0 bytes"):
        Verified(tmp_path).require_whole(strange)
    assert "strange is missing" in strange.faults()
