"""Public datasets as their folders are laid out: texts in one file, labels in another, names in a third.

    layout         texts                 labels                    label names and texts
    attentionxml   *_raw_texts.txt       *_labels.txt, names       the names
    xtransformer   *_raw_texts.txt       Y.*.npz, CSR              label_map.txt
    pecos          X.*.txt               Y.*.npz, CSR              lbl.json, else output-items.txt
    xc_raw         trn.json, tst.json    target_ind, in them       lbl.json, else Y.txt or Yf.txt
    x_y            *_X.txt, *.raw.txt    *_X_Y.txt, *_X_Y.npz      lbl.json, else label.raw.txt, Y.txt, Yf.txt

Text and JSON may be compressed (.gz), and lie in folders below the one that is named; JSON may be called
trn.raw.json, and lines of *.raw.txt may be `id->text`. Label names, where a
layout has them apart, are in the repository's own order: a label is a row of that table, and documents and
filter pairs name it by that row, so that nothing is ever renumbered by the order of strings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from xmcpipe.data.layouts.places import LAYOUTS, NoTextError, detect_layout, layout_files

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

__all__ = [
    "LAYOUTS",
    "LayoutOptions",
    "NoTextError",
    "Sources",
    "detect_layout",
    "layout_files",
    "read_layout",
]


@dataclass(frozen=True)
class LayoutOptions:
    """How a layout's files are written: their encoding, and which fields of the XC repository's JSON make a
    text.

    `text_fields` are joined by `text_separator`, empty ones left out; `titles_only` takes the title alone.
    Other layouts have no fields: each line is a text.
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
class Sources:
    """What a folder holds, in the form that `raw.write_raw` takes.

    `splits` maps train and test to batches `id` string, `text` string, `labels` list<int32> in the order of
    the files; each may be read once. A label is a row of `label_table` (`label` string, distinct; `text`
    string or null) or, where that is None, a number that is its name. `filters` maps splits to tables `row`
    int64 (of the split as it is in the file, from 0) and `label` int32 (as in the batches).
    """

    splits: "Mapping[str, Iterable[pl.DataFrame]]"
    label_table: "pl.DataFrame | None"
    filters: "Mapping[str, pa.Table]" = field(default_factory=dict)


def read_layout(folder: Path, layout: str, options: LayoutOptions) -> Sources:
    """The documents, label names and filter pairs of a dataset in `folder`.

    Label files are read at once, texts as the batches are asked for. Raises XmcpipeError that names the file,
    and the line where there is one: at once for missing files, labels out of range and label files that don't
    fit each other, and while reading for bytes that aren't in `options.encoding`, broken JSON, and files that
    hold more or fewer texts than labels.
    """
    from xmcpipe.data.layouts.names import read_names
    from xmcpipe.data.layouts.pairs import read_pairs
    from xmcpipe.data.layouts.text import read_texts
    from xmcpipe.data.layouts.xc_raw import read_xc_raw

    files = layout_files(folder, layout)
    if layout == "xc_raw":
        table = read_names(files, None, options)
        splits = {split: read_xc_raw(files[f"{split}_text"], table, options) for split in ("train", "test")}
    else:
        splits, table = read_texts(files, layout, options)
    filters = {
        split: read_pairs(files[f"filter_{split}"], table, options)
        for split in ("train", "test")
        if f"filter_{split}" in files
    }
    return Sources(splits, table, filters)
