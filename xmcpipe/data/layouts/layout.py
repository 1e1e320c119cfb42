"""The description of a layout: the roles of its files, their possible names, and how to read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xmcpipe.data.raw.documents import DocumentSet

Files = Mapping[str, Path]  # role -> file
Names = Mapping[str, tuple[str, ...]]  # role -> possible names of its file; the first one that exists counts

# File names that several layouts share.
RAW_TEXTS: Names = {
    "train_text": ("train_raw_texts.txt", "train_texts.txt"),
    "test_text": ("test_raw_texts.txt", "test_texts.txt"),
}
CSR_LABELS: Names = {"train_labels": ("Y.trn.npz",), "test_labels": ("Y.tst.npz",)}
XC_LABEL_NAMES = ("lbl.json", "lbl.raw.json", "label.raw.txt", "Y.txt", "Yf.txt")
FILTER_FILES: Names = {
    "filter_train": ("filter_labels_train.txt", "trn_filter_labels.txt"),
    "filter_test": ("filter_labels_test.txt", "tst_filter_labels.txt"),
}


@dataclass(frozen=True)
class LayoutOptions:
    """How to read the files of a layout.

    In a layout whose documents have fields, a text consists of the `text_fields` that are not empty, joined
    by `text_separator`, or with `titles_only` of the title alone. In other layouts, each line is a text.
    """

    text_fields: tuple[str, ...] = ("title", "content")
    text_separator: str = " "
    encoding: str = "utf-8"
    titles_only: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that make up a text."""
        return ("title",) if self.titles_only else self.text_fields


@dataclass(frozen=True)
class Layout:
    """A layout, called `name` in recipes, the registry and artifacts.

    required: the roles that must have a file, and the names of these files; `train_text` and `test_text` are
      among the roles. Names are given without .gz, which every file may have.
    optional: further roles. Files of the roles `filter_train` and `filter_test` are read as filter pairs, the
      same way for every layout.
    read: returns the documents and label names, given role -> file. `read_layout` adds the filter pairs. The
      function imports polars itself, so that finding a layout doesn't load it.
    has_fields: whether a document has fields, such as a title, instead of one line of text.
    """

    name: str
    required: Names
    read: Callable[[Files, LayoutOptions], DocumentSet]
    optional: Names = field(default_factory=dict)
    has_fields: bool = False
