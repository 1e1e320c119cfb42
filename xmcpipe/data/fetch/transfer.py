"""One file over HTTP into one place, in as many attempts as it takes.

What has come stays on disk as it comes, and beside it PLACE.json says of which file it is: address, length,
and the validator (ETag, else Last-Modified) that the server gave. The next attempt asks for the rest under
the condition that the file is still that one (If-Range, RFC 9110), so a file that changed in between is
fetched from its beginning and never spliced. Without a validator there is nothing to go on from.

Order is what makes a kill at any moment harmless: the note is removed before the bytes that it is about, and
written before the bytes that it will be about.
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

RETRIES = 5  # after a connection that broke; as many again once a further MiB has come
PAUSE_SECONDS = 1.0  # doubled from retry to retry
PROGRESS_BYTES = 1 << 20
FULL = {errno.ENOSPC, errno.EDQUOT}

# Looks at the first bytes of an answer and its type, and raises XmcpipeError where it isn't what was wanted.
Check = Callable[[bytes, str], None]


def no_page(start: bytes, content_type: str) -> None:
    """Refuse a web page, which is what servers give for a file that they won't."""
    if web.is_page(start, content_type):
        raise WebError(f"a web page came instead of the file: {web.page_title(start)}")


@dataclass(frozen=True)
class Note:
    """Of which file a place holds the beginning, or all. `length` is -1 where nobody said."""

    address: str
    validator: str
    length: int


def transfer(
    address: str,
    place: Path,
    check: Check = no_page,
    locate: Callable[[str], str] = str,
    hint: str = "check the network",
) -> None:
    """Fetch what `address` names into the file `place`, going on from what an earlier attempt left there.

    `locate` turns the address into a URL, anew in each attempt. Raises XmcpipeError where it can't be had;
    then what has come stays for the next attempt, unless it is of no use. Whoever takes the file away calls
    `forget`.
    """
    _Transfer(address, place, check, locate, hint).run()


def forget(place: Path) -> None:
    """Remove what has come, and the note about it."""
    _note_of(place).unlink(missing_ok=True)
    place.unlink(missing_ok=True)


class _Transfer:
    """The attempts at one file; `answered` is whether the server gave it in any of them."""

    def __init__(
        self, address: str, place: Path, check: Check, locate: Callable[[str], str], hint: str
    ) -> None:
        self.address, self.place, self.check, self.locate, self.hint = address, place, check, locate, hint
        self.answered = False

    def run(self) -> None:
        """Try, and after a broken connection try again."""
        furthest, tries = _size(self.place), 0
        while True:
            try:
                self._attempt()
                return
            except WebError as error:
                if _size(self.place) >= furthest + PROGRESS_BYTES:
                    furthest, tries = _size(self.place), 0
                tries += 1
                # A server that never answered isn't worth the wait: there are other mirrors.
                if not (error.again and self.answered) or tries > RETRIES:
                    raise
                logger.info("%s; trying again, from byte %d", error.message, _size(self.place))
                time.sleep(PAUSE_SECONDS * 2 ** (tries - 1))

    def _attempt(self) -> None:
        note = self._note()
        offset = _size(self.place) if note else 0
        if note and offset == note.length:
            return
        url = self.locate(self.address)
        if note is None or not offset or not self._go_on(url, note, offset):
            with web.open_url(url, None, self.hint) as answer:
                self._receive(answer, url, None)

    def _go_on(self, url: str, note: Note, offset: int) -> bool:
        """Ask for the rest and take what comes; False where nothing of use came."""
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
        """Append the answer where it goes on from `note`, else begin anew with it."""
        self.answered = True
        piece = web.read(answer, url, self.hint)
        if note is None:
            # Before anything is thrown away: a page that says "try tomorrow" mustn't cost what has come.
            self.check(piece, answer.headers.get("Content-Type", ""))
            note = Note(self.address, _validator(answer), _length(answer))
            self._require_room(note.length)
            self._begin(note)
        try:
            size = self._write(answer, url, piece, note)
        except OSError as error:
            if error.errno not in FULL:
                raise
            forget(self.place)  # to give the room back
            fault = f"disk full: {_short(self.address)} had no room left in {self.place.parent}"
            raise WebError(fault, _ROOM) from error
        if note.length >= 0 and size != note.length:
            fault = f"{_short(self.address)} broke off after {size:,} of {note.length:,} bytes"
            if size > note.length:
                forget(self.place)
                fault = f"{_short(self.address)} has more than the {note.length:,} bytes that were promised"
            raise WebError(fault, self.hint, again=True)
        _write_note(self.place, Note(note.address, note.validator, size))

    def _write(self, answer: Any, url: str, piece: bytes, note: Note) -> int:
        """Write `piece` and the rest of the answer at the file's end; returns the file's size."""
        size = _size(self.place)
        total = note.length if note.length >= 0 else None
        with (
            self.place.open("ab") as file,
            progress(f"Downloading {_short(self.address)}", total, "B", scale=True, initial=size) as bar,
        ):
            while piece:
                size += file.write(piece)
                bar.update(len(piece))
                piece = web.read(answer, url, self.hint)
            file.flush()
            os.fsync(file.fileno())
        return size

    def _begin(self, note: Note) -> None:
        forget(self.place)
        self.place.touch()
        _write_note(self.place, note)

    def _require_room(self, length: int) -> None:
        free = shutil.disk_usage(self.place.parent).free + _size(self.place)
        if length > free:
            raise WebError(
                f"disk full: {_short(self.address)} has {length / 1e6:,.0f} MB, and {self.place.parent} has "
                f"{free / 1e6:,.0f} MB free",
                _ROOM,
            )

    def _note(self) -> Note | None:
        """What the note says, where there is something to go on from."""
        try:
            note = Note(**json.loads(_note_of(self.place).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        whole = note.length >= 0 and _size(self.place) == note.length
        usable = note.address == self.address and self.place.is_file() and (note.validator or whole)
        return note if usable and not 0 <= note.length < _size(self.place) else None


_ROOM = "free some room, or name another folder with XMCPIPE_CACHE"


def _rest_of(answer: Any, note: Note, offset: int) -> Note | None:
    """The note, with the length that a 206 tells; None where that isn't the rest of the file after `offset`.

    A server that heeds If-Range gives no other, but some ignore it.
    """
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != offset or _validator(answer) not in ("", note.validator):
        return None
    return replace(note, length=int(found[2])) if note.length in (-1, int(found[2])) else None


def _validator(answer: Any) -> str:
    etag = answer.headers.get("ETag", "")
    # A weak ETag doesn't promise the same bytes.
    return str(etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified", ""))


def _length(answer: Any) -> int:
    text = answer.headers.get("Content-Length", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else -1


def _short(address: str) -> str:
    return address.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]


def _size(place: Path) -> int:
    return place.stat().st_size if place.is_file() else 0


def _note_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _write_note(place: Path, note: Note) -> None:
    beside = _note_of(place).with_suffix(".new")
    beside.write_text(json.dumps(asdict(note)), encoding="utf-8")
    beside.replace(_note_of(place))
