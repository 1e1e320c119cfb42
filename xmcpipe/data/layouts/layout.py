"""What a layout is: the roles that files play in it, the names they may have, and how they are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xmcpipe.data.raw.documents import DocumentSet

Files = Mapping[str, Path]  # role -> file
Names = Mapping[str, tuple[str, ...]]  # role -> names that its file may have; the first one found counts

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
    """How a layout's files are written, and which JSON fields make a text.

    In a layout whose documents have fields, `text_fields` are joined by `text_separator`, without empty ones,
    and `titles_only` selects the title alone. In other layouts, each line is a text.
    """

    text_fields: tuple[str, ...] = ("title", "content")
    text_separator: str = " "
    encoding: str = "utf-8"
    titles_only: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that make a text."""
        return ("title",) if self.titles_only else self.text_fields


@dataclass(frozen=True)
class Layout:
    """A layout, called `name` in recipes, the registry and artifacts.

    required: roles that a dataset must have a file for, in this order; `train_text` and `test_text` are among
      them. optional: further roles; files of the roles `filter_train` and `filter_test` are read for every
      layout that has them. Names are without .gz, which every file may have.
    read: returns the documents and label names of the files found, by role; filter pairs are added to them.
      It imports polars itself, so that a layout can be named without loading it.
    has_fields: whether a document has fields, such as a title, instead of one line of text.
    """

    name: str
    required: Names
    read: Callable[[Files, LayoutOptions], DocumentSet]
    optional: Names = field(default_factory=dict)
    has_fields: bool = False
