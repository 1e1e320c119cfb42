"""Batches of documents of similar length, padded to the longest one; (seed, epoch) determine their order.

Legend: B documents of a batch · S tokens of its longest document · P positive (document, label) pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xmcpipe.data.shards.files import Int32s, Int64s, Shards
from xmcpipe.data.terms import Terms

BUCKET_BATCHES = 50  # batches per bucket; within a bucket, documents are sorted by length


@dataclass(frozen=True)
class HostBatch:
    """A batch of B documents in host memory.

    `input_ids` and `mask` are int64 [B, S]; `mask` is 1 for a token and 0 for padding. `rows` and `labels`,
    int64 [P], are the positive pairs; rows are positions in the batch, in [0, B). `terms` are None unless the
    shards have them.
    """

    input_ids: Int64s
    mask: Int64s
    rows: Int64s
    labels: Int64s
    terms: Terms | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


def epoch_batches(lengths: Int32s, batch_size: int, seed: int, epoch: int) -> list[Int64s]:
    """The batches of an epoch, each as positions in `lengths`, int64 [<= batch_size], all documents once.

    Documents are shuffled, then sorted by length within buckets of 50 batches, then the batches are shuffled.
    This needs little padding, and makes other batches in every epoch. The result depends on the arguments
    alone.
    """
    random = np.random.default_rng([seed, epoch])
    shuffled = random.permutation(len(lengths))
    bucket = batch_size * BUCKET_BATCHES
    ordered = np.concatenate(
        [part[np.argsort(lengths[part], kind="stable")] for part in _pieces(shuffled, bucket)] or [shuffled]
    )
    batches = _pieces(ordered, batch_size)
    return [batches[number] for number in random.permutation(len(batches))]


def length_order(lengths: Int32s, batch_size: int) -> list[Int64s]:
    """Batches of all documents, longest first, so that memory runs out at once or never; for scoring only."""
    return _pieces(np.argsort(-lengths.astype(np.int64), kind="stable"), batch_size)


def token_batches(lengths: Int32s, batch_size: int, max_tokens: int) -> list[Int64s]:
    """Batches of all documents, longest first; each of at most `batch_size` documents, and at most
    `max_tokens` tokens with its padding, unless one document has more.
    """
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches, begin = [], 0
    while begin < len(order):
        fitting = max(1, max_tokens // max(1, int(lengths[order[begin]])))
        end = begin + min(fitting, batch_size)
        batches.append(order[begin:end])
        begin = end
    return batches


def collate(shards: Shards, rows: Int64s, pad_id: int) -> HostBatch:
    """The documents of `rows` (int64 [B], rows of the split), padded on the right to the longest of them."""
    input_ids, mask = pad(*shards.tokens.gather(rows), pad_id)
    terms = shards.terms(rows) if shards.has_terms else None
    return HostBatch(input_ids, mask, *positive_pairs(shards, rows), terms)


def positive_pairs(shards: Shards, rows: Int64s) -> tuple[Int64s, Int64s]:
    """The positive pairs of the documents of `rows`: positions in the batch and labels, int64 [P] each."""
    labels, counts = shards.labels.gather(rows)
    owners = np.repeat(np.arange(len(rows), dtype=np.int64), counts)
    return owners, labels.astype(np.int64)


def pad(tokens: Int32s, lengths: Int32s, pad_id: int) -> tuple[Int64s, Int64s]:
    """`input_ids` and `mask`, int64 [B, S], from B lists of tokens stored end to end, padded on the right."""
    # At least one column: without documents, S would be 0.
    mask: npt.NDArray[np.bool_] = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    input_ids = np.full(mask.shape, pad_id, np.int64)
    input_ids[mask] = tokens  # row by row, which is the order of the tokens
    return input_ids, mask.astype(np.int64)


def _pieces(array: Int64s, size: int) -> list[Int64s]:
    return [array[begin : begin + size] for begin in range(0, len(array), size)]
