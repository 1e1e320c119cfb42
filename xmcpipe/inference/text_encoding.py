"""From texts to batches of token ids, with the tokenizer that a model was saved with.

The tokenizer is read by `tokenizers` itself, as in `data.shards.tokenizing`: transformers, which adds nothing
to it here, takes a second to import. N texts, B texts of a batch, S tokens of its longest text.
"""

from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from xmcpipe.data.arrays import row_offsets
from xmcpipe.data.shards.batches import pad
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import read_bounded, read_json_object
from xmcpipe.modeling.encoder import TOKENIZER_BYTES
from xmcpipe.pieces import Pieces

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


def is_blank(text: str) -> bool:
    """Whether `text` has nothing to label."""
    return not text or text.isspace()


class TokenLists:
    """The token ids of N texts, int32, stored end to end; `lengths` int32 [N] is the number of each."""

    def __init__(self, lists: Sequence[Sequence[int]], pad_id: int) -> None:
        self.lengths: Int32s = np.fromiter(map(len, lists), np.int32, len(lists))
        self._values: Int32s = np.fromiter(chain.from_iterable(lists), np.int32, int(self.lengths.sum()))
        self._offsets, self._pad_id = row_offsets(self.lengths), pad_id

    def as_bytes(self) -> list[bytes]:
        """The tokens of each text as bytes: equal for equal texts."""
        return [self._values[begin:end].tobytes() for begin, end in pairwise(self._offsets)]

    def batch(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        """`input_ids` and `mask`, int64 [B, S], of the texts `rows`, int64 [B]; padded on the right."""
        parts = [self._values[self._offsets[row] : self._offsets[row + 1]] for row in rows]
        return pad(np.concatenate(parts), self.lengths[rows], self._pad_id)


class TextEncoder:
    """The tokenizer in `folder`, which cuts texts into `pieces`.

    Its ids are below `num_tokens`. Raises XmcpipeError for a folder without a tokenizer that can be read.
    """

    def __init__(self, folder: Path, pieces: Pieces) -> None:
        self._pieces = pieces
        try:
            text = read_bounded(folder / "tokenizer.json", TOKENIZER_BYTES).decode()
            settings = read_json_object(folder / "tokenizer_config.json")
            self._tokenizer: Any = Tokenizer.from_str(text)
            self._set_up(settings)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            raise XmcpipeError(
                f"{folder} holds no tokenizer that can be read: {error}",
                "give the folder of a model artifact",
            ) from error

    def _set_up(self, settings: dict[str, Any]) -> None:
        direction = str(settings.get("truncation_side", "right"))
        self._pieces.set_up(self._tokenizer, direction)
        ids = self._tokenizer.get_vocab(with_added_tokens=True).values()
        self.num_tokens = max(ids, default=0) + 1
        self.pad_id = self._special(settings, "pad_token") or 0
        known = (self._special(settings, name) for name in ("eos_token", "unk_token", "pad_token"))
        # As in stages/tokenize.py: a text without tokens gets one, because pooling needs it.
        self._filler = next((token for token in known if token is not None), 0)

    def encode(self, texts: Sequence[str]) -> TokenLists:
        """The tokens of N texts, at least one each."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        ids = [self._pieces.token_ids(encoding, self._filler) for encoding in encodings]
        return TokenLists(ids, self.pad_id)

    def save_padding(self, path: Path) -> None:
        """Write the tokenizer to `path`, as it cuts texts here; it also pads them, on the right."""
        tokenizer: Any = Tokenizer.from_str(self._tokenizer.to_str())
        token = self._tokenizer.id_to_token(self.pad_id)
        tokenizer.enable_padding(direction="right", pad_id=self.pad_id, pad_token=token)
        tokenizer.save(str(path))

    def _special(self, settings: dict[str, Any], name: str) -> int | None:
        """The id of a special token; its entry is the token, or a table with it as `content`."""
        token = settings.get(name)
        content = token.get("content") if isinstance(token, dict) else token
        found: int | None = None if content is None else self._tokenizer.token_to_id(content)
        return found
