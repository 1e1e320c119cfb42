"""Unpacks archives of unknown origin safely.

An archive is refused as a whole if it contains any of these: a path that leads out of the folder or can't be
written, the same path twice, a link, a device or anything else but files and folders, an encrypted file, too
many bytes or files, or far more bytes than the archive itself has (a decompression bomb). Bytes are counted
while they are unpacked; the sizes in headers are not trusted. Permissions in the archive are ignored, and
nothing is executed. Memory is bounded: it holds a piece of a file, and the table of contents of the archive.
"""

import errno
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import Bar, progress

PIECE_BYTES = 1 << 20
HEADER_BYTES = 1 << 22  # limit of data that the libraries read at once: a table of contents, a long name
NAME_BYTES = 100  # of a name in a tar header
# Other methods of zip, such as LZMA, let a member ask for a dictionary of 4 GB.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
DEPTH = 32  # limit of nested folders
# Leftovers of packing programs, and the tf-idf features in archives of PECOS: no stage reads these, and they
# are most of the bytes.
SKIPPED_NAMES = ("__MACOSX", ".DS_Store", "tfidf-attnxml")
# Errors that the libraries raise for broken archives.
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    LookupError,
    ArithmeticError,
)

# Errors of the file system for a path that is repeated or invalid.
BAD_PATHS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


@dataclass(frozen=True)
class Limits:
    """Limits of the unpacked `bytes` and `files`, and of the `ratio` of unpacked bytes to archive size.

    Text is usually compressed to a tenth. Up to `free` unpacked bytes the ratio is not checked, because a
    small archive may consist of repetitions.
    """

    bytes: int = 200 * 10**9
    files: int = 10_000
    ratio: float = 100.0
    free: int = 1 << 26


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack a .tar.gz, .zip or .gz file, detected by its content, into `folder`, which is emptied first.

    Raises XmcpipeError for an archive that is refused, broken or truncated; then `folder` is removed.
    """
    if not archive.is_file():  # opening a pipe would wait for ever
        raise _refusal(archive, "it is not an ordinary file")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with (
            progress("Unpacking", None, "B", scale=True) as bar,
            _as_xmcpipe_errors(archive),
            _BoundedReader(io.FileIO(archive)) as file,
        ):
            allowance = _Allowance(archive, limits or Limits(), archive.stat().st_size, bar)
            start = file.read(4)
            file.seek(0)
            if start.startswith(b"PK"):
                _unzip(file, folder, allowance)
            elif start.startswith(b"\x1f\x8b"):
                _unpack_gzip(file, folder, allowance)
            else:
                raise _refusal(archive, f"expected tar.gz, zip or gz, got a file that begins with {start!r}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@dataclass
class _Allowance:
    """Counts the bytes and files that come out of an archive of `size` bytes, and enforces the limits."""

    archive: Path
    limits: Limits
    size: int
    bar: Bar
    bytes: int = 0
    files: int = 0

    def spend(self, count: int) -> None:
        """Count unpacked bytes. Raises XmcpipeError beyond the limits."""
        self.bytes += count
        self.bar.update(count)
        most = min(self.limits.bytes, max(self.limits.free, self.limits.ratio * self.size))
        if self.bytes > most:
            fault = f"its {self.size / 1e6:,.3f} MB unpack to more than {most / 1e6:,.1f} MB"
            raise _refusal(self.archive, fault)

    def spend_file(self) -> None:
        """Count a file or folder. Raises XmcpipeError beyond the limit."""
        self.files += 1
        if self.files > self.limits.files:
            raise _refusal(self.archive, f"it holds more than {self.limits.files:,} files")


class _BoundedReader(io.BufferedReader):
    """A file that refuses large reads, because zipfile reads a table of contents of any size at once."""

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes."""
        if size is not None and size > HEADER_BYTES:
            raise ValueError(f"its table of contents has {size:,} bytes")
        return super().read(size)


class _CountedStream(io.RawIOBase):
    """A stream that counts the bytes that are read from it, and enforces the limits."""

    def __init__(self, source: Any, allowance: _Allowance) -> None:
        self._source, self._allowance = source, allowance

    def readable(self) -> bool:
        """Always true."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        piece: bytes = self._source.read(size if 0 <= size < PIECE_BYTES else PIECE_BYTES)
        self._allowance.spend(len(piece))
        return piece


class _Header(tarfile.TarInfo):
    """A tar header with a limited size.

    Data that doesn't fit into a header, such as a long name, is the content of a special header before it.
    """

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_Header":
        """Parse a header; refuse a huge special header, because tarfile reads its content at once."""
        header = super().frombuf(buf, encoding, errors)
        # The name ends at its first NUL; what follows is another name that only other programs see.
        if bytes(buf[:NAME_BYTES]).rstrip(b"\0").find(b"\0") >= 0:
            raise tarfile.ReadError("a name with a NUL in it")
        if not header.isreg() and header.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header of type {header.type!r} and {header.size:,} bytes")
        return header


def _unpack_gzip(file: IO[bytes], folder: Path, allowance: _Allowance) -> None:
    """Unpack a .tar.gz, or a single file in gzip."""
    with gzip.GzipFile(fileobj=file) as unpacked:
        is_tar = _is_tar(unpacked.read(tarfile.BLOCKSIZE))
    file.seek(0)
    with gzip.GzipFile(fileobj=file) as unpacked:
        stream: Any = _CountedStream(unpacked, allowance)
        if is_tar:
            _untar(stream, folder, allowance)
        else:
            name = allowance.archive.name.removesuffix(".gz")
            _write(_place(allowance, folder, name if name != allowance.archive.name else "unpacked"), stream)
        # Read to the end, beyond the last member: gzip checks its checksum only there.
        while stream.read(PIECE_BYTES):
            pass


def _is_tar(block: bytes) -> bool:
    """Whether the first block of a file is a tar header, or the end mark of an empty tar file."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True
    except tarfile.HeaderError:
        return False
    return True


def _untar(stream: IO[bytes], folder: Path, allowance: _Allowance) -> None:
    """Unpack the members of a tar stream into `folder`."""
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar:
        for member in tar:
            allowance.spend_file()
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise _refusal(allowance.archive, f"{member.name!r} is a link or a device")
            place = _place(allowance, folder, member.name)
            if place is not None and member.isreg():
                content = tar.extractfile(member)
                assert content
                _write(place, content)


def _unzip(file: IO[bytes], folder: Path, allowance: _Allowance) -> None:
    """Unpack the members of a zip file into `folder`."""
    with zipfile.ZipFile(file) as zipped:
        for member in zipped.infolist():
            allowance.spend_file()
            kind = stat.S_IFMT(member.external_attr >> 16)  # the Unix mode; 0 if the packer wrote none
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(allowance.archive, f"{member.filename!r} is a link or a device")
            if member.flag_bits & 1:  # encrypted, by the format
                raise _refusal(allowance.archive, f"{member.filename!r} is encrypted")
            if member.compress_type not in METHODS:
                fault = f"{member.filename!r} is compressed with method {member.compress_type}"
                raise _refusal(allowance.archive, f"{fault}, expected stored, deflate or bzip2")
            # zipfile cuts a name at its first NUL, and keeps the whole one.
            name = member.orig_filename if "\0" in member.orig_filename else member.filename
            place = _place(allowance, folder, name.replace("\\", "/"))
            if place is not None and not member.is_dir():
                with zipped.open(member) as content:
                    counted: Any = _CountedStream(content, allowance)
                    _write(place, counted)


def _place(allowance: _Allowance, folder: Path, name: str) -> Path | None:
    """The path to write the member `name` to, with its folder created; None if the member is skipped.

    Raises XmcpipeError for a path that is not a valid path below `folder`.
    """
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts
    if leads_out or "\\" in name or not name or not name.isprintable() or len(path.parts) > DEPTH:
        raise _refusal(allowance.archive, f"the path {name!r} is not a valid path below a folder")
    if any(part in SKIPPED_NAMES or part.startswith("._") for part in path.parts):
        return None
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise _refusal(allowance.archive, f"{name!r} is below a path that is a file") from error
    return folder / path


def _write(place: Path | None, content: IO[bytes]) -> None:
    if place is not None:
        with place.open("xb") as file:  # x: a path that occurs twice is an error
            shutil.copyfileobj(content, file, PIECE_BYTES)


def _refusal(archive: Path, fault: str) -> XmcpipeError:
    return XmcpipeError(f"{archive.name} was not unpacked: {fault}")


@contextmanager
def _as_xmcpipe_errors(archive: Path) -> Iterator[None]:
    """Convert errors of the libraries and of the file system to an XmcpipeError about the archive."""
    try:
        yield
    except BROKEN as error:
        raise _refusal(archive, f"it is broken or truncated: {error or type(error).__name__}") from error
    except OSError as error:
        # gzip raises an OSError without an errno for a wrong checksum.
        if error.errno is None:
            raise _refusal(archive, f"it is broken: {error}") from error
        if error.errno in BAD_PATHS:
            raise _refusal(archive, f"a path in it is repeated or invalid: {error.strerror}") from error
        raise
