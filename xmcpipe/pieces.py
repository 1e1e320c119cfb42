"""How a text becomes token ids: in one piece, which truncates it, or in several, which may overlap.

The pieces of a document are stored end to end. All but the last have exactly `max_length` tokens, special
tokens included, so that they can be told apart again (`modeling.pieces`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


@dataclass(frozen=True)
class Pieces:
    """At most `max_pieces` pieces of `max_length` tokens; each repeats the last `stride` tokens before it."""

    max_length: int
    max_pieces: int = 1
    stride: int = 0

    @staticmethod
    def of(keys: Mapping[str, Any]) -> "Pieces":
        """From the keys of a [tokenize] table, of a shards manifest or of model.json."""
        return Pieces(keys["max_length"], keys.get("max_pieces", 1), keys.get("stride", 0))

    @property
    def max_tokens(self) -> int:
        """The maximum number of tokens of a document."""
        return self.max_length * self.max_pieces

    @property
    def piece_length(self) -> int:
        """The length at which a document's tokens are cut, 0 if each document is one piece."""
        return self.max_length if self.max_pieces > 1 else 0

    def set_up(self, tokenizer: "Tokenizer", direction: str) -> None:
        """Let `tokenizer` cut texts so, from their beginning (direction "right") or from their end."""
        tokenizer.enable_truncation(self.max_length, stride=self.stride, direction=direction)
        tokenizer.no_padding()

    def token_ids(self, encoding: "Encoding", filler: int) -> list[int]:
        """The token ids of a document, from the encoding of its text by the tokenizer that was set up.

        A document without tokens gets the token `filler`, because pooling needs at least one.
        """
        if self.max_pieces == 1 or len(encoding.ids) < self.max_length:
            return encoding.ids or [filler]
        more: Sequence[Encoding] = encoding.overflowing[: self.max_pieces - 1]
        return list(chain(encoding.ids, *(piece.ids for piece in more)))

    def is_truncated(self, encoding: "Encoding") -> bool:
        """Whether a text has tokens beyond the last piece."""
        # `overflowing` copies its pieces: only an encoding of full length can have any.
        return len(encoding.ids) >= self.max_length and len(encoding.overflowing) >= self.max_pieces
