"""Cubins cached between runs: intact or missing, never partial."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.ops.nvrtc import cubin_cache

KEY = cubin_cache.key({"text": "int x;", "macros": [("A", 1)]})
CODE, FACTS = b"\x7fELF\n\0code\n" * 50, {"registers": 40}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path))
    return tmp_path / "kernels"


def test_a_written_cubin_is_read_back(folder: Path) -> None:
    assert cubin_cache.read(KEY) is None
    assert cubin_cache.write(KEY, CODE, FACTS)
    assert cubin_cache.read(KEY) == (CODE, FACTS)
    assert [path.name for path in folder.iterdir()] == [f"{KEY}.cubin"]


def test_the_key_depends_on_every_value_and_not_on_their_order() -> None:
    assert cubin_cache.key({"a": 1, "b": 2}) == cubin_cache.key({"b": 2, "a": 1})
    assert len({cubin_cache.key({"a": value}) for value in (1, 2, "1", [1], None)}) == 5


@given(st.data())
def test_a_truncated_or_changed_file_is_missing(data: st.DataObject) -> None:
    cubin_cache.write(KEY, CODE, FACTS)
    path = cubin_cache.folder() / f"{KEY}.cubin"
    intact = path.read_bytes()
    at = data.draw(st.integers(0, len(intact) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(intact[:at])
    else:
        flipped = bytes([intact[at] ^ data.draw(st.integers(1, 255))])
        path.write_bytes(intact[:at] + flipped + intact[at + 1 :])
    cached = cubin_cache.read(KEY)
    # The code is never another's; the facts stored with it have no hash of their own.
    assert cached is None or cached[0] == CODE


@pytest.mark.parametrize(
    "contents",
    [b"", b"\n", b"not JSON\n", b"[1]\n", b"{}\n", b'{"key": 1, "format": 1}\n', b"null\n", b"\xff\xfe\n"],
)
def test_a_foreign_file_is_missing(folder: Path, contents: bytes) -> None:
    folder.mkdir()
    (folder / f"{KEY}.cubin").write_bytes(contents)
    assert cubin_cache.read(KEY) is None


def test_a_file_of_another_key_or_format_is_missing(folder: Path) -> None:
    cubin_cache.write(KEY, CODE, FACTS)
    other = cubin_cache.key({"text": "int y;"})
    contents = (folder / f"{KEY}.cubin").read_bytes()
    (folder / f"{other}.cubin").write_bytes(contents)
    assert cubin_cache.read(other) is None
    head, _, code = contents.partition(b"\n")
    newer = json.dumps({**json.loads(head), "format": cubin_cache.FORMAT + 1}).encode()
    (folder / f"{KEY}.cubin").write_bytes(newer + b"\n" + code)
    assert cubin_cache.read(KEY) is None


def test_a_folder_that_can_not_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XMCPIPE_CACHE", str(tmp_path / "file"))
    assert not cubin_cache.write(KEY, CODE, FACTS)
    assert cubin_cache.read(KEY) is None


def test_concurrent_writers_leave_one_intact_file(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: cubin_cache.write(KEY, CODE, FACTS), range(40)))
    assert cubin_cache.read(KEY) == (CODE, FACTS)
    assert [path.name for path in folder.iterdir()] == [f"{KEY}.cubin"]


def test_the_folder_is_the_variable_s_or_in_the_user_s_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCPIPE_CACHE", "~/somewhere")
    assert cubin_cache.folder() == Path.home() / "somewhere" / "kernels"
    monkeypatch.delenv("XMCPIPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cubin_cache.folder() == Path("/caches/xmcpipe/kernels")
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cubin_cache.folder() == Path.home() / ".cache" / "xmcpipe" / "kernels"


def test_the_cache_loads_nothing_heavy() -> None:
    program = (
        "import sys, xmcpipe.ops.nvrtc.compiler;"
        "print([name for name in ('torch', 'numpy', 'cuda', 'cuda.bindings') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
