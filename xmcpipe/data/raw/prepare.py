"""Applies the policies: decides which documents and labels stay, from columns in memory, without the texts.

The rules change a `_Draft`, a few masks over documents and over (document, label) pairs, one after another:
empty texts, no labels, repeated texts, the split, leaked texts, rare and unseen labels. Each rule counts the
cases that it finds, whatever the policy does with them.
"""

from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from xmcpipe.data.raw.policies import Policies
from xmcpipe.data.raw.staging import Staging
from xmcpipe.data.raw.stratify import stratified_test
from xmcpipe.errors import XmcpipeError

Bools = npt.NDArray[np.bool_]
TRAIN, TEST, UNSPLIT = 0, 1, 2


@dataclass(frozen=True)
class Decision:
    """The decision about N staged documents.

    `keep` and `is_test`: bool [N]. `labels`: the codes of labels that stay, int32, ascending. `figures`: the
    counts for the manifest.
    """

    keep: Bools
    is_test: Bools
    labels: npt.NDArray[np.int32]
    figures: dict[str, int]


@dataclass
class _Draft:
    """The state that the rules change: masks over N documents and P (document, label) pairs.

    `keep` and `is_test` are bool [N], `pair` is bool [P] (which pairs stay), and `row_of_pair` int64 [P].
    """

    staged: Staging
    policies: Policies
    keep: Bools
    is_test: Bools
    pair: Bools
    row_of_pair: npt.NDArray[np.int64]
    figures: dict[str, int] = field(default_factory=dict)

    def apply(self, policy: str, count: str, matches: Bools, what: str) -> None:
        """Count the documents `matches`, bool [N], as the figure `count`; then keep, drop or refuse them.

        `policy` is the name of the key that decides, and `what` describes the documents in the error.
        """
        self.figures[count] = number = int(matches.sum())
        option = getattr(self.policies, policy)
        if option == "refuse" and number:
            example = self.staged.ids[int(matches.argmax())]
            raise XmcpipeError(
                f"{number:,} {what}, such as id {example!r}", f"to go on, set {policy} = 'keep' or 'drop'"
            )
        if option == "drop":
            self.keep &= ~matches

    def counts(self, documents: Bools) -> npt.NDArray[np.int64]:
        """For each code, the number of documents with it among `documents`, bool [N]: int64 [codes]."""
        pairs = self.pair & documents[self.row_of_pair]
        return np.bincount(self.staged.codes[pairs], minlength=len(self.staged.labels.names))

    def labelled(self) -> Bools:
        """Whether each document still has a label: bool [N]."""
        return np.bincount(self.row_of_pair[self.pair], minlength=len(self.keep)) > 0


def decide(staged: Staging, policies: Policies) -> Decision:
    """Apply `policies`, in their order, to the staged documents.

    Either all documents are in TRAIN or TEST, or all are UNSPLIT. Raises XmcpipeError if a policy refuses, if
    no document has a label, and if a split ends up empty.
    """
    num = len(staged.keys)
    rows = np.repeat(np.arange(num, dtype=np.int64), np.diff(staged.indptr))
    draft = _Draft(
        staged, policies, np.ones(num, bool), staged.split == TEST, np.ones(len(staged.codes), bool), rows
    )
    if not num:
        raise XmcpipeError("expected at least one document, got none", "check the file")
    if not len(staged.codes):
        raise XmcpipeError(
            f"none of the {num:,} documents has a label",
            "check the labels column and its separator (labels, label_separator)",
        )
    draft.figures["repeated_labels"] = staged.merged_labels
    draft.apply("empty_text", "empty_texts", staged.empty, "documents have an empty text")
    draft.apply("no_labels", "no_labels", draft.keep & ~draft.labelled(), "documents have no label")
    # Before the split: otherwise copies of one text could end up in both splits.
    draft.apply("repeated", "repeated_texts", _repeated(draft), "documents repeat an earlier text")
    _split(draft)
    draft.apply(
        "leaked", "leaked_texts", _leaked(draft), "training documents have the text of a test document"
    )
    _choose_labels(draft)
    # Documents that lost all their labels to the rules above. `refuse` drops them too: it refuses documents
    # only as they were read.
    if policies.no_labels != "keep":
        emptied = draft.keep & ~draft.labelled()
        draft.figures["emptied_documents"] = int(emptied.sum())
        draft.keep &= ~emptied
    return _finish(draft)


def split_by_hash(ids: pl.Series, every: int) -> Bools:
    """Whether each id is in the test split, bool [N]: if md5(id), a 128-bit number, is a multiple of `every`.

    A document thus stays in its split when others are added or removed.
    """
    # A loop in Python, because NumPy and polars have no md5, and their hashes may change with the version.
    digests = (int.from_bytes(md5(name.encode(), usedforsecurity=False).digest(), "big") for name in ids)
    return np.fromiter((digest % every == 0 for digest in digests), bool, len(ids))


def _repeated(draft: _Draft) -> Bools:
    """Whether a kept document has the text of an earlier one in its split: bool [N]."""
    keys, repeated = draft.staged.keys, np.zeros(len(draft.keep), bool)
    for split in np.unique(draft.staged.split):
        rows = np.flatnonzero(draft.keep & (draft.staged.split == split) & ~draft.staged.empty)
        _, first = np.unique(keys[rows], return_index=True)
        repeated[np.delete(rows, first)] = True  # all rows but the first one with each key
    return repeated


def _split(draft: _Draft) -> None:
    """Divide unsplit documents into training and test."""
    unsplit = draft.staged.split == UNSPLIT
    if unsplit.any() and draft.policies.split == "stratified":
        staged, policies = draft.staged, draft.policies
        draft.is_test |= stratified_test(
            staged.indptr, staged.codes, unsplit & draft.keep, policies.test_every, policies.split_seed
        )
    elif unsplit.any():
        ids = draft.staged.ids.filter(pl.Series(unsplit))
        draft.is_test[unsplit] = split_by_hash(ids, draft.policies.test_every)


def _leaked(draft: _Draft) -> Bools:
    """Whether a kept document is a training document with the text of a kept test document: bool [N]."""
    candidates = draft.keep & ~draft.staged.empty
    test_keys = draft.staged.keys[candidates & draft.is_test]
    leaked: Bools = candidates & ~draft.is_test
    leaked[leaked] = np.isin(draft.staged.keys[leaked], test_keys)
    return leaked


def _choose_labels(draft: _Draft) -> None:
    """Drop the pairs of labels that are unseen or too rare in training."""
    policies, figures = draft.policies, draft.figures
    in_train = draft.counts(draft.keep & ~draft.is_test)
    in_test = draft.counts(draft.keep & draft.is_test)
    unseen = (in_train == 0) & (in_test > 0)
    figures["unseen_labels"] = int(unseen.sum())
    if policies.unseen == "refuse" and unseen.any():
        example = draft.staged.labels.names[int(unseen.argmax())]
        raise XmcpipeError(
            f"{int(unseen.sum()):,} labels of the test are in no training document, such as {example!r}",
            "to go on, set unseen = 'keep' or 'drop'",
        )
    rare = (in_train > 0) & (in_train < policies.min_label_count)
    figures["rare_labels"] = int(rare.sum())
    # A label with no training document is below any minimum above 1 too.
    dropped = rare | unseen if policies.unseen == "drop" or policies.min_label_count > 1 else rare
    draft.pair &= ~dropped[draft.staged.codes]


def _finish(draft: _Draft) -> Decision:
    """The decision with all figures. Raises XmcpipeError if a split has no documents or no labels."""
    keep, is_test, figures = draft.keep, draft.is_test, draft.figures
    train, test = keep & ~is_test, keep & is_test
    in_train, in_test = draft.counts(train), draft.counts(test)
    for name, documents, counts in (("training", train, in_train), ("test", test, in_test)):
        if not documents.any() or not counts.any():
            raise XmcpipeError(
                f"none of the {len(keep):,} documents is left as a {name} document with a label",
                "name a table with --test, or lower import.test_every"
                if name == "test" and not documents.any()
                else "counted: "
                + ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in figures.items() if value),
            )
    headline: dict[str, Any] = {
        "train": int(train.sum()),
        "test": int(test.sum()),
        "documents_given": len(keep),
    }
    headline["documents_dropped"] = len(keep) - headline["train"] - headline["test"]
    headline["train_pairs"], headline["test_pairs"] = int(in_train.sum()), int(in_test.sum())
    labels = np.flatnonzero(in_train + in_test).astype(np.int32)
    return Decision(keep, is_test, labels, {**headline, **figures})
