"""Archives from strangers, unpacked so that they can do no harm.

An archive is refused as a whole where it holds a path that leads outside or can't be written, one path
twice, a link, a device or any other thing that isn't a file or a folder, an encrypted file, more than so many
bytes or files, or far more bytes than it takes itself (a bomb). Sizes are those of the bytes that come out,
whatever the archive says of itself. Files get no rights of the archive's, and nothing is executed. What is
held in memory is bounded: a piece of a file, and the archive's table of contents.
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
HEADER_BYTES = 1 << 22  # of what the libraries read at once: a table of contents, a long name
DEPTH = 32  # of folders
# What packers leave behind; and tf-idf features, most of a PECOS archive's bytes, which no stage reads.
PASSED_OVER = ("__MACOSX", ".DS_Store", "tfidf-attnxml")
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

BAD_PATHS = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}


@dataclass(frozen=True)
class Limits:
    """`bytes` and `files` that may come out; `ratio` of bytes that come out to the archive's own.

    Ordinary text is packed to a tenth; the ratio counts from `free` bytes on, since a small archive may well
    consist of repetitions.
    """

    bytes: int = 200 * 10**9
    files: int = 10_000
    ratio: float = 100.0
    free: int = 1 << 26


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack a .tar.gz, .zip or .gz, told by its content, into the new folder `folder`.

    Raises XmcpipeError for what is refused and for an archive that is broken or cut short; then nothing is
    left.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with (
            progress("Unpacking", None, "B", scale=True) as bar,
            _faults(archive),
            _Frugal(io.FileIO(archive)) as file,
        ):
            allowance = _Allowance(archive, limits or Limits(), archive.stat().st_size, bar)
            start = file.read(4)
            file.seek(0)
            if start.startswith(b"PK"):
                _unzip(file, folder, allowance)
            elif start.startswith(b"\x1f\x8b"):
                _unpack_gzip(file, folder, allowance)
            else:
                raise _refused(archive, f"it begins with {start!r}, and is no tar.gz, zip or gz")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@dataclass
class _Allowance:
    """What may yet come out of an archive of `size` bytes."""

    archive: Path
    limits: Limits
    size: int
    bar: Bar
    bytes: int = 0
    files: int = 0

    def spend(self, count: int) -> None:
        """Count bytes that came out."""
        self.bytes += count
        self.bar.update(count)
        most = min(self.limits.bytes, max(self.limits.free, self.limits.ratio * self.size))
        if self.bytes > most:
            fault = f"more than {most / 1e6:,.1f} MB come out of its {self.size / 1e6:,.3f} MB"
            raise _refused(self.archive, fault)

    def spend_file(self) -> None:
        """Count a file or folder."""
        self.files += 1
        if self.files > self.limits.files:
            raise _refused(self.archive, f"it holds more than {self.limits.files:,} files")


class _Frugal(io.BufferedReader):
    """A file of which nobody reads much at once: zipfile would hold a table of contents of any size."""

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes."""
        if size is not None and size > HEADER_BYTES:
            raise ValueError(f"a table of contents of {size:,} bytes")
        return super().read(size)


class _Counted(io.RawIOBase):
    """A stream whose bytes are counted as they are read."""

    def __init__(self, source: Any, allowance: _Allowance) -> None:
        self._source, self._allowance = source, allowance

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        piece: bytes = self._source.read(size if 0 <= size < PIECE_BYTES else PIECE_BYTES)
        self._allowance.spend(len(piece))
        return piece


class _Header(tarfile.TarInfo):
    """A tar header. What doesn't fit into one, a long name for example, comes as another one's content."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_Header":
        """Refuse an endless name, since tarfile reads it into memory at once."""
        header = super().frombuf(buf, encoding, errors)
        if not header.isreg() and header.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header of type {header.type!r} and {header.size:,} bytes")
        return header


def _unpack_gzip(file: IO[bytes], folder: Path, allowance: _Allowance) -> None:
    with gzip.GzipFile(fileobj=file) as unpacked:
        is_tar = _is_tar(unpacked.read(tarfile.BLOCKSIZE))
    file.seek(0)
    with gzip.GzipFile(fileobj=file) as unpacked:
        stream: Any = _Counted(unpacked, allowance)
        if is_tar:
            _untar(stream, folder, allowance)
        else:
            name = allowance.archive.name.removesuffix(".gz")
            _write(_place(allowance, folder, name if name != allowance.archive.name else "unpacked"), stream)
        while stream.read(PIECE_BYTES):  # the checksum stands at the end, after what tar reads
            pass


def _is_tar(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True
    except tarfile.HeaderError:
        return False
    return True


def _untar(stream: IO[bytes], folder: Path, allowance: _Allowance) -> None:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar:
        for member in tar:
            allowance.spend_file()
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise _refused(allowance.archive, f"{member.name!r} is a link, a device or another thing")
            place = _place(allowance, folder, member.name)
            if place is not None and member.isreg():
                content = tar.extractfile(member)
                assert content
                _write(place, content)


def _unzip(file: IO[bytes], folder: Path, allowance: _Allowance) -> None:
    with zipfile.ZipFile(file) as zipped:
        for member in zipped.infolist():
            allowance.spend_file()
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(allowance.archive, f"{member.filename!r} is a link, a device or another thing")
            if member.flag_bits & 1:
                raise _refused(allowance.archive, f"{member.filename!r} is encrypted")
            place = _place(allowance, folder, member.filename.replace("\\", "/"))
            if place is not None and not member.is_dir():
                with zipped.open(member) as content:
                    counted: Any = _Counted(content, allowance)
                    _write(place, counted)


def _place(allowance: _Allowance, folder: Path, name: str) -> Path | None:
    """Where the file `name` goes; None for one that is passed over. Its folder is made."""
    path = PurePosixPath(name)
    leads_out = path.is_absolute() or ".." in path.parts
    if leads_out or not name or not name.isprintable() or len(path.parts) > DEPTH:
        raise _refused(allowance.archive, f"the path {name!r} isn't one below a folder")
    if any(part in PASSED_OVER or part.startswith("._") for part in path.parts):
        return None
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise _refused(allowance.archive, f"{name!r} is below a file") from error
    return folder / path


def _write(place: Path | None, content: IO[bytes]) -> None:
    if place is not None:
        with place.open("xb") as file:  # x: a path that stands twice is an error
            shutil.copyfileobj(content, file, PIECE_BYTES)


def _refused(archive: Path, fault: str) -> XmcpipeError:
    return XmcpipeError(f"{archive.name} isn't unpacked: {fault}")


@contextmanager
def _faults(archive: Path) -> Iterator[None]:
    """What the libraries say of a broken archive, and the file system of a path, as our error."""
    try:
        yield
    except BROKEN as error:
        raise _refused(archive, f"it is broken or cut short: {error or type(error).__name__}") from error
    except OSError as error:
        # without a number it is gzip's, for a wrong checksum
        if error.errno is None:
            raise _refused(archive, f"it is broken: {error}") from error
        if error.errno in BAD_PATHS:
            raise _refused(archive, f"a path in it stands twice or can't be: {error.strerror}") from error
        raise
