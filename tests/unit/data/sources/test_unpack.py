"""Archives of unknown origin: valid ones are unpacked, harmful ones are refused and leave nothing behind."""

import errno
import gzip
import io
import os
import random
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmcpipe.data.sources import unpack as module
from xmcpipe.data.sources.unpack import Limits, unpack
from xmcpipe.errors import XmcpipeError

FILES = {"set/X.trn.txt": b"one\ntwo\n" * 30, "set/Y.trn.npz": random.Random(3).randbytes(900), "set/e": b""}
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tar_gz(members: list[tuple[str, bytes, dict[str, Any]]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A .tar.gz of (name, content, fields of its header)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=form, compresslevel=6) as tar:
        for name, content, fields in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            for key, value in fields.items():
                setattr(header, key, value)
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def zipped(members: list[tuple[str, bytes, int]]) -> bytes:
    """A .zip of (name, content, mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            header = zipfile.ZipInfo(name)
            header.external_attr = mode << 16
            header.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(header, content)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    return tar_gz([(name, content, {}) for name, content in files.items()])


def zip_of(files: dict[str, bytes]) -> bytes:
    return zipped([(name, content, 0o644 | stat.S_IFREG) for name, content in files.items()])


def unpacked(
    folder: Path, data: bytes, limits: Limits | None = None, name: str = "a.part"
) -> dict[str, bytes]:
    (folder / name).write_bytes(data)
    unpack(folder / name, folder / "out", limits)
    below = folder / "out"
    return {
        path.relative_to(below).as_posix(): path.read_bytes() for path in below.rglob("*") if path.is_file()
    }


def refused(folder: Path, data: bytes, message: str, limits: Limits | None = None) -> None:
    with pytest.raises(XmcpipeError, match=f"a.part was not unpacked: .*{message}"):
        unpacked(folder, data, limits)
    assert sorted(path.name for path in folder.iterdir()) == ["a.part"]


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_packed_files_are_unpacked(tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    litter = {"__MACOSX/set/._X.trn.txt": b"x", "set/.DS_Store": b"x", "set/tfidf-attnxml/X.trn.npz": b"x"}
    assert unpacked(tmp_path, pack({**FILES, **litter})) == FILES
    mode = (tmp_path / "out/set/X.trn.txt").stat().st_mode
    assert not mode & (stat.S_IXUSR | stat.S_ISUID)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_and_long_names(tmp_path: Path, form: int) -> None:
    name = "/".join(["folder" * 6] * 3) + "/ünï.txt"
    members: list[tuple[str, bytes, dict[str, Any]]] = [
        ("folder", b"", {"type": tarfile.DIRTYPE}),
        (name, b"x", {}),
    ]
    assert unpacked(tmp_path, tar_gz(members, form)) == {name: b"x"}


def test_a_single_file(tmp_path: Path) -> None:
    assert unpacked(tmp_path, gzip.compress(b"text\n" * 200), name="trn.json.gz") == {
        "trn.json": b"text\n" * 200
    }
    assert unpacked(tmp_path, gzip.compress(b"short")) == {"unpacked": b"short"}


def test_windows_separators_and_folders_in_a_zip(tmp_path: Path) -> None:
    archive = zipped([("set/", b"", 0o755 | stat.S_IFDIR), ("set\\trn.json", b"{}", 0)])
    assert unpacked(tmp_path, archive) == {"set/trn.json": b"{}"}


def test_an_old_folder_of_that_name_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    assert unpacked(tmp_path, tar_of(FILES)) == FILES


BAD_PATHS = [
    "../out-side", "set/../../x", "/etc/passwd", "set/\x1b[2Jx", "a/" * 40 + "x", "x" * 300, "set/\nx", ".."
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_a_path_that_leads_outside_or_is_invalid(
    tmp_path: Path, path: str, pack: Callable[..., bytes]
) -> None:
    refused(tmp_path, pack({"good": b"x", path: b"x"}), "path")
    assert not (tmp_path.parent / "out-side").exists()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "a/b/c"), ("a", "./a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_for_one_path(tmp_path: Path, names: tuple[str, str]) -> None:
    refused(tmp_path, tar_gz([(name, b"x", {}) for name in names]), "repeated|a path that is a file")
    refused(tmp_path, zipped([(name, b"x", 0) for name in names]), "repeated|a path that is a file")


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]


@pytest.mark.parametrize("kind", KINDS)
def test_links_devices_and_other_things_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    refused(
        tmp_path, tar_gz([("x", b"", {"type": kind, "linkname": "/etc/passwd"})]), "'x' is a link or a device"
    )


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_devices_and_other_things_in_a_zip(tmp_path: Path, kind: int) -> None:
    refused(tmp_path, zipped([("x", b"/etc/passwd", kind | 0o777)]), "'x' is a link or a device")


def test_a_link_is_never_written_through(tmp_path: Path) -> None:
    link = ("set", b"", {"type": tarfile.SYMTYPE, "linkname": str(tmp_path)})
    refused(tmp_path, tar_gz([link, ("set/evil", b"x", {})]), "'set' is a link")


def test_a_sparse_file(tmp_path: Path) -> None:
    headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "x"}
    headers |= {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**15)}
    refused(tmp_path, tar_gz([("x", b"y", {"pax_headers": headers})]), "'x' is a link or a device")


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_a_bomb(tmp_path: Path, pack: Callable[..., bytes]) -> None:
    bomb = pack({f"zeros-{number}": bytes(1 << 20) for number in range(3)})
    refused(tmp_path, bomb, "unpack to more than 2.0 MB", Limits(free=2_000_000))
    refused(tmp_path, bomb, "unpack to more than 1.5 MB", Limits(bytes=1_500_000, ratio=1e6))
    assert len(unpacked(tmp_path, bomb, Limits(free=4_000_000))) == 3


def test_a_bomb_in_a_single_file_or_in_a_skipped_one(tmp_path: Path) -> None:
    limits = Limits(free=1_000_000)
    refused(tmp_path, gzip.compress(bytes(1 << 21)), "more than 1.0 MB", limits)
    refused(tmp_path, tar_of({"tfidf-attnxml/X": bytes(1 << 21)}), "more than 1.0 MB", limits)


def test_a_zip_that_understates_what_it_holds(tmp_path: Path) -> None:
    archive = bytearray(zip_of({"x": bytes(1 << 20)}))
    at = archive.rindex(b"PK\x01\x02")
    archive[at + 24 : at + 28] = struct.pack("<I", 10)
    refused(tmp_path, bytes(archive), "broken")


def test_zip_entries_that_share_their_bytes(tmp_path: Path) -> None:
    """A stronger bomb: a thousand names for one compressed file."""
    one = zip_of({"0000": bytes(1 << 16)})
    at, end = one.rindex(b"PK\x01\x02"), one.rindex(b"PK\x05\x06")
    entries = [one[at:end].replace(b"0000", b"%04d" % number) for number in range(1000)]
    size = sum(map(len, entries))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, size, at, 0)
    refused(tmp_path, one[:at] + b"".join(entries) + tail, "", Limits(free=1 << 18))


def test_too_many_files(tmp_path: Path) -> None:
    many = {f"{number}": b"" for number in range(30)}
    refused(tmp_path, tar_of(many), "more than 20 files", Limits(files=20))
    refused(tmp_path, zip_of(many), "more than 20 files", Limits(files=20))


def test_a_table_of_contents_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEADER_BYTES", 10_000)
    refused(tmp_path, zip_of({f"{number:020}": b"" for number in range(200)}), "its table of contents has")
    refused(tmp_path, tar_gz([("n" * 19_000, b"", {})], tarfile.GNU_FORMAT), "a header of type b'L' and 19,")
    refused(tmp_path, tar_gz([("n" * 19_000, b"", {})]), "a header of type b'x' and 19,")


def test_an_encrypted_file(tmp_path: Path) -> None:
    archive = bytearray(zip_of({"x": b"secret"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + offset] |= 1
    refused(tmp_path, bytes(archive), "'x' is encrypted")


@pytest.mark.parametrize(
    "data", [b"", b"P", b"PK", b"\x1f\x8b", b"<html>", b"7z\xbc\xaf", zlib.compress(b"x" * 99)]
)
def test_not_an_archive(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, data, "")


PACKED = {"tar.gz": tar_of(FILES), "zip": zip_of(FILES), "gz": gzip.compress(FILES["set/Y.trn.npz"])}


@FEW
@given(st.sampled_from(sorted(PACKED)), st.data())
def test_one_that_is_truncated_anywhere(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    packed = PACKED[kind]
    refused(tmp_path, packed[: data.draw(st.integers(0, len(packed) - 1))], "")


@FEW
@given(st.sampled_from(sorted(PACKED)), st.data())
def test_one_with_changed_bytes_comes_out_right_or_not_at_all(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    packed = bytearray(PACKED[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    expected = {"unpacked": FILES["set/Y.trn.npz"]} if kind == "gz" else FILES
    try:
        found = unpacked(tmp_path, bytes(packed))
    except XmcpipeError:
        assert not (tmp_path / "out").exists()
    else:
        # names have no checksum, nor does the list of files in a zip
        assert set(found.values()) <= set(expected.values())
    for path in tmp_path.iterdir():
        assert path.name in ("a.part", "out")


def test_a_full_disk_is_not_the_archives_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        unpacked(tmp_path, tar_of(FILES))
    assert not (tmp_path / "out").exists()
