"""Archives with names that two programs read differently, that ask for much memory, or are no files."""

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.unit.data.sources.test_unpack import tar_gz, zip_of
from xmcpipe.data.sources.unpack import unpack
from xmcpipe.errors import XmcpipeError


def _with_name(archive: bytes, name: bytes) -> bytes:
    """A .tar.gz whose first member has the bytes `name` as its name."""
    tar = bytearray(gzip.decompress(archive))
    tar[:100] = name.ljust(100, b"\0")
    tar[148:156] = b" " * 8
    tar[148:156] = b"%06o\0 " % sum(tar[:512])
    return gzip.compress(bytes(tar))


def _lzma_zip(dictionary: int) -> bytes:
    """A zip whose member is compressed with LZMA, with a dictionary of that size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", b"text " * 100)
    data = buffer.getvalue()
    at = data.index(b"\x09\x04\x05\x00\x5d") + 5  # version, length and first byte of LZMA's properties
    return data[:at] + dictionary.to_bytes(4, "little") + data[at + 4 :]


ONE = tar_gz([("a.txt", b"text", {})], tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("archive", "fault"),
    [
        (_with_name(ONE, b"..\\..\\a.txt"), "not a valid path"),
        (_with_name(ONE, b"a\\b.txt"), "not a valid path"),
        (_with_name(ONE, b"a.txt\0/../../b"), "a name with a NUL in it"),
        (tar_gz([("b", b"text", {"pax_headers": {"path": "a\0b"}})]), "not a valid path"),
        (zip_of({"a.txt": b"text"}).replace(b"a.txt", b"a\0txt"), "not a valid path"),
        (zip_of({"a\u202etxt": b"text"}), "not a valid path"),
        (_lzma_zip(0xFFFF_FFFF), "compressed with method 14, expected stored, deflate or bzip2"),
    ],
)
def test_names_and_methods_that_are_refused(tmp_path: Path, archive: bytes, fault: str) -> None:
    (tmp_path / "x").write_bytes(archive)
    with pytest.raises(XmcpipeError, match=fault):
        unpack(tmp_path / "x", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pipe_in_place_of_an_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.zip")
    with pytest.raises(XmcpipeError, match=r"x\.zip was not unpacked: it is not an ordinary file"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
