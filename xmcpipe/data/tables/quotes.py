"""Finds where values in double quotes begin and end, in one pass over a delimited file.

A quote opens a value only at its start: after a delimiter or a line end. Anywhere else it is an ordinary
character, as in `5" disk`. Inside a quoted value, two quotes stand for one, and the next single quote closes
it. These are the rules of the parser that reads the values.
"""

import re
from pathlib import Path

from xmcpipe.errors import XmcpipeError

HINT = "close it, or write it twice inside a quoted value; if quotes are plain characters, set --quotes none"
INSIDE = r'(?:[^"]++|"")*+("?)'  # the rest of a quoted value, up to the quote that closes it or the end


class QuoteScanner:
    """Follows the quotes of a file, piece by piece: pieces are whole lines, and each is scanned once.

    `open` is whether the text so far ends inside a quoted value; `scanned` counts characters.
    """

    def __init__(self, path: Path, delimiter: str) -> None:
        before = f"[{re.escape(delimiter)}\n\r]"
        # The pattern begins with the quote itself: the search then jumps from quote to quote.
        self._value = re.compile(rf'"(?:(?<={before}")|(?<=\A")){INSIDE}')
        self._rest = re.compile(INSIDE)
        self._path, self._after = path, f"{delimiter}\n\r "
        self._line = 1  # the number of the next piece's first line
        self._begun = 1  # the number of the line in which the open value began
        self.open = False
        self.scanned = 0

    def scan(self, piece: str, end: str) -> bool:
        """Read the next lines, of which each ends with `end`; returns whether a quoted value is open.

        Raises XmcpipeError, with the line where the value began, if a value that goes over several lines is
        closed in the middle of a value: its first quote was a stray one.
        """
        start = 0
        if self.open:
            rest = self._rest.match(piece)
            assert rest is not None, "the pattern matches any text"
            start, self.open = rest.end(), not rest[1]
            self._require_end(piece, start, end)
        for value in self._value.finditer(piece, start):
            self.open = not value[1]
            stop = value.end()
            if self.open:
                self._begun = self._line + piece.count(end, 0, value.start())
            elif piece[stop : stop + 1] not in self._after and piece.find(end, value.start(), stop) >= 0:
                self._begun = self._line + piece.count(end, 0, value.start())
                self._require_end(piece, stop, end)
        self._line += piece.count(end)
        self.scanned += len(piece)
        return self.open

    def error(self, fault: str) -> XmcpipeError:
        """The error about the value that was opened last; `fault` says what is wrong with its quote."""
        return XmcpipeError(
            f"{self._path}, line {self._begun}: the quote that begins a value here {fault}", HINT
        )

    def _require_end(self, piece: str, stop: int, end: str) -> None:
        """Raise XmcpipeError unless a value ends at `stop`, where its quote was closed."""
        if not self.open and piece[stop : stop + 1] not in self._after:
            line = self._line + piece.count(end, 0, stop)
            raise self.error(f"is closed in line {line}, before {piece[stop : stop + 20]!r}")
