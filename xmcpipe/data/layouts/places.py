"""Which layout a folder has, and which file plays which role in it: told by the files' names alone."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.config import nearest
from xmcpipe.errors import XmcpipeError, require_file

DEPTH = 4  # folders below the one that is named
FILTERS = {
    "filter_train": ("filter_labels_train.txt", "trn_filter_labels.txt"),
    "filter_test": ("filter_labels_test.txt", "tst_filter_labels.txt"),
}
XC_NAMES = ("lbl.json", "lbl.raw.json", "label.raw.txt", "Y.txt", "Yf.txt")
RAW_TEXTS = {
    "train_text": ("train_raw_texts.txt", "train_texts.txt"),
    "test_text": ("test_raw_texts.txt", "test_texts.txt"),
}
NPZ_LABELS = {"train_labels": ("Y.trn.npz",), "test_labels": ("Y.tst.npz",)}
# The names that a role's file may have, the first that is there counts; optional roles come after the others.
ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "pecos": {"train_text": ("X.trn.txt",), "test_text": ("X.tst.txt",), **NPZ_LABELS},
    "xtransformer": {**RAW_TEXTS, **NPZ_LABELS},
    "attentionxml": {**RAW_TEXTS, "train_labels": ("train_labels.txt",), "test_labels": ("test_labels.txt",)},
    "xc_raw": {"train_text": ("trn.json", "trn.raw.json"), "test_text": ("tst.json", "tst.raw.json")},
    "x_y": {
        "train_text": ("trn_X.txt", "train.raw.txt", "trn.raw.txt"),
        "test_text": ("tst_X.txt", "test.raw.txt", "tst.raw.txt"),
        "train_labels": ("trn_X_Y.txt", "trn_X_Y.npz"),
        "test_labels": ("tst_X_Y.txt", "tst_X_Y.npz"),
    },
}
OPTIONAL: dict[str, dict[str, tuple[str, ...]]] = {
    "pecos": {"names": ("lbl.json", "output-items.txt"), **FILTERS},
    "xtransformer": {"names": ("lbl.json", "label_map.txt", "output-items.txt"), **FILTERS},
    "attentionxml": {},
    "xc_raw": {"names": XC_NAMES, **FILTERS},
    "x_y": {"names": XC_NAMES, **FILTERS},
}
LAYOUTS = ("attentionxml", "xtransformer", "pecos", "xc_raw", "x_y")
BAG_OF_WORDS = (
    "trn_X_Xf.txt", "train.txt", "trn_X_Y.txt", "trn_X_Y.npz", "X.trn.npz", "X_bow.trn.npz", "trn.txt"
)  # fmt: skip
WITH_TEXT = (
    "text is needed: the PECOS mirrors (X.trn.txt), the AttentionXML and X-Transformer mirrors "
    "(train_raw_texts.txt) and the raw text of the XC repository (trn.json.gz) have it"
)


class NoTextError(XmcpipeError):
    """A folder of bags of words alone."""


def detect_layout(folder: Path) -> str:
    """The layout of the dataset in `folder`, one of LAYOUTS.

    Raises XmcpipeError for a folder with none, which says what is missing, and NoTextError, which says what
    kind of mirror has the text, where only bags of words are there.
    """
    there = _Files.below(folder)
    absent = {
        layout: [names for names in roles.values() if not there.find(names)]
        for layout, roles in ROLES.items()
    }
    with_text = {
        layout: missing for layout, missing in absent.items() if ROLES[layout]["train_text"] not in missing
    }
    if with_text:
        layout, missing = min(with_text.items(), key=lambda item: len(item[1]))
        if not missing:
            return layout
        wanted = ", ".join(" or ".join(names) for names in missing)
        raise XmcpipeError(f"{folder} is of layout {layout}, but has no {wanted}", "fetch the missing files")
    if there.find(BAG_OF_WORDS) or there.find_ending("_train.txt"):
        raise NoTextError(f"{folder} holds bags of words and no text", WITH_TEXT)
    known = ", ".join(sorted({roles["train_text"][0] for roles in ROLES.values()}))
    raise XmcpipeError(f"{folder} holds no dataset of a known layout", f"looked for {known}, also as .gz")


def layout_files(folder: Path, layout: str) -> dict[str, Path]:
    """Role -> file, in a fixed order: train_text, test_text, and as far as the layout has them train_labels,
    test_labels, names, filter_train, filter_test.

    Raises XmcpipeError for an unknown layout, a missing file, and several files that could play one role.
    """
    if layout not in ROLES:
        raise XmcpipeError(f"layout {layout!r} is unknown", nearest(layout, LAYOUTS))
    there = _Files.below(folder)
    files: dict[str, Path] = {}
    for role, names in (*ROLES[layout].items(), *OPTIONAL[layout].items()):
        found = there.find(names)
        if len(found) > 1:
            raise XmcpipeError(
                f"{folder} holds more than one dataset: {found[0]} and {found[1]}", "name the folder of one"
            )
        if found:
            files[role] = require_file(found[0], f"{layout} {role}")
        elif role in ROLES[layout]:
            raise XmcpipeError(
                f"{folder} has no {' or '.join(names)}, as layout {layout} wants it",
                "name another layout or folder, or leave the layout out to have it detected",
            )
    return files


@dataclass(frozen=True)
class _Files:
    """The files below a folder by name, each list from the top down."""

    by_name: dict[str, list[Path]]

    @staticmethod
    def below(folder: Path) -> "_Files":
        if not folder.is_dir():
            kind = "is a file" if folder.is_file() else "does not exist"
            raise XmcpipeError(f"{folder} {kind}, a folder was wanted", "unpack archives first")
        by_name: dict[str, list[Path]] = {}
        for path in sorted(_walk(folder, DEPTH), key=lambda path: (len(path.parts), path)):
            by_name.setdefault(path.name, []).append(path)
        return _Files(by_name)

    def find(self, names: tuple[str, ...]) -> list[Path]:
        """The files of the first of `names` (or with .gz) that is there, as near to the top as there are."""
        for name in names:
            for spelled in (name, f"{name}.gz"):
                if paths := self.by_name.get(spelled):
                    return [path for path in paths if len(path.parts) == len(paths[0].parts)]
        return []

    def find_ending(self, ending: str) -> bool:
        """Whether some file's name ends so."""
        return any(name.endswith(ending) for name in self.by_name)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if depth and not entry.name.startswith("."):
                    yield from _walk(Path(entry.path), depth - 1)
            else:
                yield Path(entry.path)
