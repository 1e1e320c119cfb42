"""Downloads a file over HTTP to a path, with several attempts, each of which resumes the one before.

The bytes received so far stay on disk. A note next to them, PATH.json, states which file they belong to: its
address, its length, and the validator (ETag, else Last-Modified) that the server sent. The next attempt
requests the rest on condition that the file is unchanged (If-Range, RFC 9110). A file that changed in between
is therefore downloaded from its beginning, and never spliced from two versions. Without a validator, nothing
is resumed.

The order of writes makes a kill at any moment harmless: a note is removed before the bytes that it describes,
and written before the first of them.
"""

import errno
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from xmcpipe.data.fetch import web
from xmcpipe.data.fetch.web import WebError
from xmcpipe.json_file import parse_json
from xmcpipe.progress import progress

logger = logging.getLogger(__name__)

RETRIES = 5  # after a broken connection; the count restarts whenever PROGRESS_BYTES have arrived
PAUSE_SECONDS = 1.0  # before the first retry, doubled for each further one
PROGRESS_BYTES = 1 << 20
MOST_BYTES = 1 << 40  # where nothing states the size of a file
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

# Checks the first bytes of an answer and its content type, and raises XmcpipeError for an unexpected one.
Check = Callable[[bytes, str], None]


def refuse_web_page(start: bytes, content_type: str) -> None:
    """Raise WebError for a web page: servers send one instead of a file that they refuse to send."""
    if web.is_page(start, content_type):
        raise WebError(f"expected a file, got a web page: {web.page_title(start)}")


@dataclass(frozen=True)
class Note:
    """The file that the bytes at a path belong to; `length` is -1 if the server didn't state it."""

    address: str
    validator: str
    length: int


def transfer(
    address: str,
    path: Path,
    check: Check = refuse_web_page,
    locate: Callable[[str], str] = str,
    hint: str = "check the network",
    most_bytes: int = MOST_BYTES,
) -> None:
    """Download the file at `address` to `path`, resuming from the bytes of an earlier attempt.

    `locate` turns the address into a URL, once per attempt. A file of more than `most_bytes` is refused.
    Raises XmcpipeError if the file can't be downloaded; the bytes received stay for the next attempt, unless
    they are useless. After moving the file away, the caller must remove the note with `remove_partial`.
    """
    _Transfer(address, path, check, locate, hint, most_bytes).run()


def remove_partial(path: Path) -> None:
    """Remove the bytes received so far, if there are any, and their note."""
    _note_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


class _Transfer:
    """All attempts to download one file; `answered` is whether the server has sent any part of it."""

    def __init__(
        self,
        address: str,
        path: Path,
        check: Check,
        locate: Callable[[str], str],
        hint: str,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.most_bytes = most_bytes
        self.address, self.path, self.check, self.locate, self.hint = address, path, check, locate, hint
        self.answered = False

    def run(self) -> None:
        """Download the file, and retry after a broken connection."""
        furthest, tries = _size(self.path), 0
        while True:
            try:
                self._attempt()
                return
            except WebError as error:
                if _size(self.path) >= furthest + PROGRESS_BYTES:
                    furthest, tries = _size(self.path), 0
                tries += 1
                # Don't wait for a server that has never answered, because there are other mirrors.
                if not (error.retryable and self.answered) or tries > RETRIES:
                    raise
                logger.info("%s; retrying from byte %d", error.message, _size(self.path))
                time.sleep(PAUSE_SECONDS * 2 ** (tries - 1))

    def _attempt(self) -> None:
        """Download the rest of the file or, if that is impossible, the whole file."""
        note = self._note()
        offset = _size(self.path) if note else 0
        if note and offset == note.length:  # complete already
            return
        url = self.locate(self.address)
        if note is None or not offset or not self._resume(url, note, offset):
            with web.open_url(url, None, self.hint) as answer:
                self._receive(answer, url, None)

    def _resume(self, url: str, note: Note, offset: int) -> bool:
        """Request the bytes from `offset` on, and append them; returns False if the answer was useless."""
        try:
            answer = web.open_url(url, {"Range": f"bytes={offset}-", "If-Range": note.validator}, self.hint)
        except WebError as error:
            if error.status != 416:
                raise
            return False  # 416 Range Not Satisfiable: the file is shorter now
        with answer:
            if getattr(answer, "status", None) != 206:
                self._receive(answer, url, None)  # the file changed, or the server doesn't support ranges
                return True
            rest = _rest_of(answer, note, offset)
            if rest:
                self._receive(answer, url, rest)
        return rest is not None

    def _receive(self, answer: Any, url: str, note: Note | None) -> None:
        """Append the answer to the file of `note`; without a note, start a new file with the answer."""
        self.answered = True
        piece = web.read_piece(answer, url, self.hint)
        if note is None:
            # Check before removing anything: the bytes on disk must survive a page that says "try later".
            self.check(piece, answer.headers.get("Content-Type", ""))
            note = Note(self.address, _validator(answer), _length(answer))
            self._require_bounded(note.length)
            self._require_space(note.length)
            self._begin(note)
        try:
            size = self._write(answer, url, piece, note)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            remove_partial(self.path)  # frees the space
            fault = f"disk full: no space left for {_short(self.address)} in {self.path.parent}"
            raise WebError(fault, _DISK_FULL_HINT) from error
        if note.length >= 0 and size != note.length:
            fault = f"{_short(self.address)}: connection broke after {size:,} of {note.length:,} bytes"
            if size > note.length:
                remove_partial(self.path)
                fault = f"{_short(self.address)}: expected {note.length:,} bytes, got more"
            raise WebError(fault, self.hint, retryable=True)
        # The length is known now, even if the server didn't state it: the file counts as complete.
        _write_note(self.path, Note(note.address, note.validator, size))

    def _write(self, answer: Any, url: str, piece: bytes, note: Note) -> int:
        """Append `piece` and the rest of the answer to the file; returns the file's size."""
        size = _size(self.path)
        total = note.length if note.length >= 0 else None
        with (
            self.path.open("ab") as file,
            progress(f"Downloading {_short(self.address)}", total, "B", scale=True, initial=size) as bar,
        ):
            while piece:
                self._require_bounded(size + len(piece))
                size += file.write(piece)
                bar.update(len(piece))
                piece = web.read_piece(answer, url, self.hint)
            file.flush()
            os.fsync(file.fileno())
        return size

    def _require_bounded(self, size: int) -> None:
        """Raise WebError for a file that has more bytes than it can have; what came of it is removed."""
        if size > self.most_bytes:
            remove_partial(self.path)
            fault = f"expected at most {self.most_bytes:,} bytes, got {size:,} or more"
            raise WebError(f"{_short(self.address)}: {fault}", self.hint)

    def _begin(self, note: Note) -> None:
        remove_partial(self.path)
        self.path.touch()
        _write_note(self.path, note)

    def _require_space(self, length: int) -> None:
        free = shutil.disk_usage(self.path.parent).free + _size(self.path)
        if length > free:
            raise WebError(
                f"disk full: {_short(self.address)} has {length / 1e6:,.0f} MB, but only "
                f"{free / 1e6:,.0f} MB are free in {self.path.parent}",
                _DISK_FULL_HINT,
            )

    def _note(self) -> Note | None:
        """The note of the bytes on disk, if these are complete or can be resumed; else None."""
        try:
            note = Note(**parse_json(_note_of(self.path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        complete = note.length >= 0 and _size(self.path) == note.length
        usable = note.address == self.address and self.path.is_file() and (note.validator or complete)
        # More bytes than the file has can't be its beginning.
        return note if usable and not 0 <= note.length < _size(self.path) else None


_DISK_FULL_HINT = "free some space, or set XMCPIPE_CACHE to another folder"


def _rest_of(answer: Any, note: Note, offset: int) -> Note | None:
    """The note with the length that a 206 answer states; None unless the answer is the rest from `offset`.

    A server that honours If-Range never sends the rest of a changed file, but some servers ignore If-Range.
    """
    part = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if part is None or int(part[1]) != offset or _validator(answer) not in ("", note.validator):
        return None
    length = int(part[2])
    return replace(note, length=length) if note.length in (-1, length) else None


def _validator(answer: Any) -> str:
    """The strong ETag of an answer, else its Last-Modified, else the empty string."""
    etag = answer.headers.get("ETag", "")
    # A weak ETag doesn't guarantee equal bytes.
    return str(etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", ""))


def _length(answer: Any) -> int:
    text = answer.headers.get("Content-Length", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else -1


def _short(address: str) -> str:
    """The last part of an address, for messages."""
    return address.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_note(path: Path, note: Note) -> None:
    new = _note_of(path).with_suffix(".new")
    new.write_text(json.dumps(asdict(note)), encoding="utf-8")
    new.replace(_note_of(path))
