"""Detects the layout of a folder, and the role of each file in it, from the file names alone."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.data.layouts import catalog
from xmcpipe.errors import XmcpipeError, require_file

DEPTH = 4  # number of levels of subfolders that are searched
# Files that show that a folder holds bags of words, if no layout with texts fits.
BAG_OF_WORDS = (
    "trn_X_Xf.txt", "train.txt", "trn_X_Y.txt", "trn_X_Y.npz", "X.trn.npz", "X_bow.trn.npz", "trn.txt"
)  # fmt: skip
TEXT_HINT = (
    "text is needed: the PECOS mirrors (X.trn.txt), the AttentionXML and X-Transformer mirrors "
    "(train_raw_texts.txt) and the raw text of the XC repository (trn.json.gz) have it"
)


class NoTextError(XmcpipeError):
    """The error for a folder that holds a dataset as bags of words only."""


def detect_layout(folder: Path) -> str:
    """The name of the layout of the dataset in `folder`.

    Raises XmcpipeError for a folder without a dataset, and for an incomplete one, whose missing files it
    names. Raises NoTextError, with the mirrors that have text, for a folder with bags of words only.
    """
    found = _FoundFiles.below(folder)
    missing = {
        layout.name: [names for names in layout.required.values() if not found.find(names)]
        for layout in catalog.LAYOUTS
    }
    # A layout is a candidate if its training texts exist. The most complete candidate counts.
    candidates = {
        layout.name: missing[layout.name]
        for layout in catalog.LAYOUTS
        if layout.required["train_text"] not in missing[layout.name]
    }
    if candidates:
        name, absent = min(candidates.items(), key=lambda item: len(item[1]))
        if not absent:
            return name
        files = ", ".join(" or ".join(names) for names in absent)
        raise XmcpipeError(
            f"{folder}: expected also {files}, because its other files are of layout {name}",
            "add the missing files",
        )
    if found.find(BAG_OF_WORDS) or found.find_ending("_train.txt"):
        raise NoTextError(f"{folder} holds bags of words and no text", TEXT_HINT)
    known = ", ".join(sorted({layout.required["train_text"][0] for layout in catalog.LAYOUTS}))
    raise XmcpipeError(
        f"{folder} holds no dataset of a known layout",
        f"looked for {known}, also as .gz; a folder of Annif or of the datasets library is read with --train",
    )


def layout_files(folder: Path, name: str) -> dict[str, Path]:
    """Role -> file, for the layout called `name`: all required roles, then the optional roles with a file.

    Raises XmcpipeError for an unknown layout, a missing file, and several files for one role.
    """
    layout, found = catalog.find_layout(name), _FoundFiles.below(folder)
    files: dict[str, Path] = {}
    for role, names in (*layout.required.items(), *layout.optional.items()):
        paths = found.find(names)
        if len(paths) > 1:
            raise XmcpipeError(
                f"{folder} holds more than one dataset: {paths[0]} and {paths[1]}", "name the folder of one"
            )
        if paths:
            files[role] = require_file(paths[0], f"{name} {role}")
        elif role in layout.required:
            raise XmcpipeError(
                f"{folder}: expected {' or '.join(names)}, which layout {name} requires, got no such file",
                "name another layout or folder, or remove the layout to have it detected",
            )
    return files


@dataclass(frozen=True)
class _FoundFiles:
    """The files below a folder, by file name; each list is ordered by depth, top level first."""

    by_name: dict[str, list[Path]]

    @staticmethod
    def below(folder: Path) -> "_FoundFiles":
        if not folder.is_dir():
            kind = "is a file" if folder.is_file() else "does not exist"
            raise XmcpipeError(f"expected a folder, but {folder} {kind}", "unpack archives first")
        by_name: dict[str, list[Path]] = {}
        for path in sorted(_walk(folder, DEPTH), key=lambda path: (len(path.parts), path)):
            by_name.setdefault(path.name, []).append(path)
        return _FoundFiles(by_name)

    def find(self, names: tuple[str, ...]) -> list[Path]:
        """The files with the first name in `names` (or name.gz) that exists, on their highest level."""
        for name in names:
            for spelled in (name, f"{name}.gz"):
                if paths := self.by_name.get(spelled):
                    return [path for path in paths if len(path.parts) == len(paths[0].parts)]
        return []

    def find_ending(self, ending: str) -> bool:
        """Whether the name of any file ends with `ending`."""
        return any(name.endswith(ending) for name in self.by_name)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if depth and not entry.name.startswith("."):
                    yield from _walk(Path(entry.path), depth - 1)
            else:
                yield Path(entry.path)
