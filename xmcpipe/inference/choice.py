"""Which labels may be predicted: chosen by name, before the cut at k. L labels."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from xmcpipe.errors import XmcpipeError

CLOSE_NAMES = 3  # of an unknown name
COMPARED_NAMES = 100_000  # takes about a second


@dataclass(frozen=True)
class Choice:
    """`added_L`, float32 [L], is 0 for a label that may be predicted and -inf for the others.

    `count`: number of labels that may be predicted, at least 1.
    """

    added_L: Tensor
    count: int


def choose(
    labels: pa.Table, allow: Collection[str] | None = None, deny: Collection[str] | None = None
) -> Choice | None:
    """The labels named in `allow` (by default all) without those in `deny`; None if these are all labels.

    `labels` is the vocabulary of a model. Raises XmcpipeError for a name that it doesn't have, with the
    nearest names that it has, and if no label is left.
    """
    if allow is None and not deny:
        return None
    names = labels["label"].combine_chunks().cast(pa.string())
    allowed = names.is_valid() if allow is None else pc.is_in(names, _known(labels, allow, "allow"))
    denied = pc.is_in(names, _known(labels, deny or (), "deny"))
    allowed_L = torch.tensor(pc.and_not(allowed, denied).to_numpy(zero_copy_only=False))
    count = int(allowed_L.sum())
    if not count:
        raise XmcpipeError("allow and deny leave no label to predict", "allow a label, or deny fewer")
    return Choice(torch.where(allowed_L, 0.0, -torch.inf), count)


def _known(labels: pa.Table, wanted: Collection[str], what: str) -> pa.Array:
    names, values = labels["label"], pa.array(list(wanted), pa.string())
    unknown = values.filter(pc.invert(pc.is_in(values, names.combine_chunks().cast(pa.string()))))
    if len(unknown):
        more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
        name = unknown[0].as_py()
        raise XmcpipeError(
            f"expected labels of the model in {what}, got {name!r}{more}", _meant(name, labels)
        )
    return values


def _meant(name: str, labels: pa.Table) -> str:
    """A hint: the labels whose names or else whose descriptions resemble `name`."""
    close = list(map(repr, nearest_names(name, labels["label"])))
    if not close:  # where names are codes, people write what they stand for
        texts = labels["text"]
        rows = [pc.index(texts, text).as_py() for text in nearest_names(name, texts.drop_null())]
        close = [f"{labels['label'][row].as_py()!r} ({texts[row].as_py()})" for row in rows]
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "the column label of the model's labels.parquet has all names"


def nearest_names(name: str, names: pa.ChunkedArray) -> list[str]:
    """The few of `names` that resemble `name` most, the nearest first; none if none does.

    Of very many names, only those that begin with the same letter are compared.
    """
    name = name.strip().lower()
    if len(names) > COMPARED_NAMES:
        alike = pc.starts_with(names, name[:1], ignore_case=True)
        names = names.filter(alike).slice(0, COMPARED_NAMES)
    lower: dict[str, str] = {}
    for each in names.to_pylist():
        lower.setdefault(each.lower(), each)
    close = difflib.get_close_matches(name, lower, n=CLOSE_NAMES, cutoff=0.7)
    return [lower[each] for each in close]
