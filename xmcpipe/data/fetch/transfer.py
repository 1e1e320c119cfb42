"""Transfers one file over HTTP to one path, in as many attempts as it takes.

The bytes received so far stay on disk, and a note next to them, PATH.json, states which file they belong to:
its address, its length, and the validator (ETag, else Last-Modified) that the server sent. The next attempt
requests the rest on condition that the file is unchanged (If-Range, RFC 9110), so a file that changed in
between is fetched from its beginning and never spliced. Without a validator, nothing is resumed.

The order of writes makes a kill at any moment harmless: a note is removed before the bytes that it describes,
and written before the bytes that it will describe.
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
from xmcpipe.progress import progress

logger = logging.getLogger(__name__)

RETRIES = 5  # after a broken connection; counted from 0 again whenever PROGRESS_BYTES have arrived
PAUSE_SECONDS = 1.0  # before the first retry, doubled for each further one
PROGRESS_BYTES = 1 << 20
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

# Checks the first bytes of an answer and its content type, and raises XmcpipeError for an unexpected one.
Check = Callable[[bytes, str], None]


def refuse_web_page(start: bytes, content_type: str) -> None:
    """Raise WebError for a web page, which servers send instead of a file that they refuse."""
    if web.is_page(start, content_type):
        raise WebError(f"expected a file, got a web page: {web.page_title(start)}")


@dataclass(frozen=True)
class Note:
    """Which file the bytes at a path belong to; its `length` is -1 if the server didn't state it."""

    address: str
    validator: str
    length: int


def transfer(
    address: str,
    path: Path,
    check: Check = refuse_web_page,
    locate: Callable[[str], str] = str,
    hint: str = "check the network",
) -> None:
    """Fetch the file at `address` to `path`, resuming from what an earlier attempt left there.

    `locate` turns the address into a URL, once per attempt. Raises XmcpipeError if the file can't be fetched;
    the bytes received stay for the next attempt, unless they are useless. Whoever moves the file away calls
    `remove_partial` to remove the note.
    """
    _Transfer(address, path, check, locate, hint).run()


def remove_partial(path: Path) -> None:
    """Remove the bytes received so far, if they are still there, and their note."""
    _note_of(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


class _Transfer:
    """All attempts at one file; `answered` is whether the server sent any of it."""

    def __init__(
        self, address: str, path: Path, check: Check, locate: Callable[[str], str], hint: str
    ) -> None:
        self.address, self.path, self.check, self.locate, self.hint = address, path, check, locate, hint
        self.answered = False

    def run(self) -> None:
        """Fetch the file, and retry after a broken connection."""
        furthest, tries = _size(self.path), 0
        while True:
            try:
                self._attempt()
                return
            except WebError as error:
                if _size(self.path) >= furthest + PROGRESS_BYTES:
                    furthest, tries = _size(self.path), 0
                tries += 1
                # A server that never answered isn't worth waiting for: there are other mirrors.
                if not (error.retryable and self.answered) or tries > RETRIES:
                    raise
                logger.info("%s; retrying from byte %d", error.message, _size(self.path))
                time.sleep(PAUSE_SECONDS * 2 ** (tries - 1))

    def _attempt(self) -> None:
        note = self._note()
        offset = _size(self.path) if note else 0
        if note and offset == note.length:
            return
        url = self.locate(self.address)
        if note is None or not offset or not self._resume(url, note, offset):
            with web.open_url(url, None, self.hint) as answer:
                self._receive(answer, url, None)

    def _resume(self, url: str, note: Note, offset: int) -> bool:
        """Request the bytes from `offset` on and append them; False if the answer was useless."""
        try:
            answer = web.open_url(url, {"Range": f"bytes={offset}-", "If-Range": note.validator}, self.hint)
        except WebError as error:
            if error.status != 416:  # the file is shorter now
                raise
            return False
        with answer:
            if getattr(answer, "status", None) != 206:
                self._receive(answer, url, None)  # the file changed, or the server knows no ranges
                return True
            rest = _rest_of(answer, note, offset)
            if rest:
                self._receive(answer, url, rest)
        return rest is not None

    def _receive(self, answer: Any, url: str, note: Note | None) -> None:
        """Append the answer if it continues the file of `note`; without a note, start the file with it."""
        self.answered = True
        piece = web.read_piece(answer, url, self.hint)
        if note is None:
            # Checked before anything is removed: a page "try again tomorrow" mustn't cost the bytes on disk.
            self.check(piece, answer.headers.get("Content-Type", ""))
            note = Note(self.address, _validator(answer), _length(answer))
            self._require_space(note.length)
            self._begin(note)
        try:
            size = self._write(answer, url, piece, note)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            remove_partial(self.path)  # to free the space
            fault = f"disk full: no space left for {_short(self.address)} in {self.path.parent}"
            raise WebError(fault, _DISK_FULL_HINT) from error
        if note.length >= 0 and size != note.length:
            fault = f"{_short(self.address)}: connection broke after {size:,} of {note.length:,} bytes"
            if size > note.length:
                remove_partial(self.path)
                fault = f"{_short(self.address)}: expected {note.length:,} bytes, got more"
            raise WebError(fault, self.hint, retryable=True)
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
                size += file.write(piece)
                bar.update(len(piece))
                piece = web.read_piece(answer, url, self.hint)
            file.flush()
            os.fsync(file.fileno())
        return size

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
        """The note of bytes that can be resumed from; None if there are none."""
        try:
            note = Note(**json.loads(_note_of(self.path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        complete = note.length >= 0 and _size(self.path) == note.length
        usable = note.address == self.address and self.path.is_file() and (note.validator or complete)
        return note if usable and not 0 <= note.length < _size(self.path) else None


_DISK_FULL_HINT = "free some space, or set XMCPIPE_CACHE to another folder"


def _rest_of(answer: Any, note: Note, offset: int) -> Note | None:
    """The note, with the length that a 206 answer states; None if it isn't the file's rest from `offset`.

    A server that honours If-Range never sends another part, but some servers ignore it.
    """
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != offset or _validator(answer) not in ("", note.validator):
        return None
    return replace(note, length=int(found[2])) if note.length in (-1, int(found[2])) else None


def _validator(answer: Any) -> str:
    etag = answer.headers.get("ETag", "")
    # A weak ETag doesn't guarantee the same bytes.
    return str(etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", ""))


def _length(answer: Any) -> int:
    text = answer.headers.get("Content-Length", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else -1


def _short(address: str) -> str:
    return address.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_note(path: Path, note: Note) -> None:
    new = _note_of(path).with_suffix(".new")
    new.write_text(json.dumps(asdict(note)), encoding="utf-8")
    new.replace(_note_of(path))
