"""`import`: reads your own tables, or the folder of a public dataset, into the store.

Each key of ImportConfig has an option here, in OPTIONS.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_type_hints

import typer

from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    RecipeOption,
    SetOption,
    StoreOption,
    with_options,
)
from xmcpipe.cli.session import only_set, report, run_stage
from xmcpipe.data.layouts import layout_names
from xmcpipe.stages.importing import ImportConfig

READING, FORMAT, LABELS, POLICIES = "Input", "File format", "Label table", "Documents and labels to keep"
POLICY = "keep|drop|refuse"
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(ImportConfig)}


def _option(key: str, panel: str, help_text: str, metavar: str | None, name: str | None = None) -> Any:
    """The option for one key of the config; its help ends with the config's default."""
    default = _DEFAULTS[key]
    if isinstance(default, tuple):
        default = ", ".join(default)
    if not isinstance(default, bool) and default not in (None, "", " ", dataclasses.MISSING):
        help_text = f"{help_text} Default: {default}."
    name = name or f"--{key.replace('_', '-')}"
    return typer.Option(name, help=help_text, metavar=metavar, rich_help_panel=panel)


Text = str | None
Folder = Annotated[
    Text,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of a dataset in the layout of PECOS, AttentionXML or the XC repository.",
    ),
]
Layout = Annotated[
    Text,
    _option(
        "layout",
        READING,
        "Layout of FOLDER; auto detects it from the file names.",
        "|".join(("auto", *layout_names())),
    ),
]
Train = Annotated[
    Text,
    _option(
        "train", READING, "Table of documents: JSONL, JSON, CSV, TSV (also .gz), Parquet, Arrow, …", "FILE"
    ),
]
Test = Annotated[
    Text,
    _option("test", READING, "Table of test documents; without it, --train is split.", "FILE"),
]
Id = Annotated[
    Text,
    _option(
        "id",
        READING,
        "Column of document ids; by default `id` if it exists, else row numbers.",
        "COLUMN",
        "--id-column",
    ),
]
TextColumns = Annotated[
    list[str] | None,
    _option(
        "text",
        READING,
        "Column of texts; several columns are joined (repeatable). Default: text.",
        "COLUMN",
        "--text-column",
    ),
]
Separator = Annotated[
    Text, _option("text_separator", READING, "Text between joined columns. Default: a space.", "TEXT")
]
Labels = Annotated[
    Text,
    _option(
        "labels",
        READING,
        "Column of labels: a list, or a string that --label-separator splits.",
        "COLUMN",
        "--labels-column",
    ),
]
LabelSeparator = Annotated[
    Text,
    _option(
        "label_separator",
        READING,
        r"Separator of labels in a string; '\t' is a tab, none: each row has one label.",
        "TEXT",
    ),
]
LabelColumns = Annotated[
    list[str] | None,
    _option(
        "label_columns",
        READING,
        "Columns of 0 and 1, one for each label, with commas between them (repeatable).",
        "COLUMN,COLUMN,…",
    ),
]
MultiHot = Annotated[
    bool | None,
    _option(
        "multi_hot",
        READING,
        "Read lists as 0/1 vectors; names: rows of the label table, or those in the file.",
        None,
        "--multi-hot/--no-multi-hot",
    ),
]
Format = Annotated[
    Text,
    _option(
        "format",
        FORMAT,
        "Format of --train and --test, one of "
        + ", ".join(get_args(get_type_hints(ImportConfig)["format"]))
        + "; auto goes by the ending, and for .txt and .tsv by the first lines.",
        "FORMAT",
    ),
]
LabelPrefix = Annotated[
    Text, _option("label_prefix", FORMAT, "Beginning of labels in a file of format fasttext.", "TEXT")
]
Encoding = Annotated[Text, _option("encoding", FORMAT, "Encoding of text files.", "NAME")]
Header = Annotated[
    bool | None,
    _option(
        "header",
        FORMAT,
        "Whether the first line names the columns; if not, their names are 1, 2, ….",
        None,
        "--header/--no-header",
    ),
]
Quotes = Annotated[
    Text,
    _option(
        "quotes", FORMAT, "Quotes in CSV and TSV: auto is double in CSV and none in TSV.", "auto|double|none"
    ),
]
Delimiter = Annotated[
    Text, _option("delimiter", FORMAT, "Character between columns of CSV and TSV, such as ';'.", "CHARACTER")
]
LabelTable = Annotated[
    Text, _option("label_table", LABELS, "Table of all labels, in order, with their texts.", "FILE")
]
LabelColumn = Annotated[
    Text, _option("label_column", LABELS, "Column of labels in the label table; # for row numbers.", "COLUMN")
]
LabelTexts = Annotated[
    Text, _option("label_text_column", LABELS, "Column of label texts in the label table.", "COLUMN")
]
LabelHeader = Annotated[
    bool | None,
    _option(
        "label_header",
        LABELS,
        "Whether the first line of the label table names its columns.",
        None,
        "--label-header/--no-label-header",
    ),
]
Empty = Annotated[Text, _option("empty_text", POLICIES, "What to do with documents without text.", POLICY)]
NoLabels = Annotated[
    Text, _option("no_labels", POLICIES, "What to do with documents without a label.", POLICY)
]
Repeated = Annotated[
    Text,
    _option("repeated", POLICIES, "What to do with documents whose text occurred before.", POLICY),
]
Leaked = Annotated[
    Text,
    _option("leaked", POLICIES, "What to do with training documents whose text is in the test set.", POLICY),
]
Unseen = Annotated[
    Text, _option("unseen", POLICIES, "What to do with test labels that never occur in training.", POLICY)
]
SameText = Annotated[
    Text,
    _option(
        "same_text",
        POLICIES,
        "How texts are compared for repeats.",
        "caseless|exact",
    ),
]
MinCount = Annotated[
    int | None, _option("min_label_count", POLICIES, "Drop labels with fewer than N training documents.", "N")
]
Split = Annotated[
    Text,
    _option(
        "split",
        POLICIES,
        "How one table is split: by a hash of the ids, or evenly by label (stratified).",
        "hash|stratified",
    ),
]
SplitSeed = Annotated[int | None, _option("split_seed", POLICIES, "Seed of the stratified split.", "N")]
TestEvery = Annotated[
    int | None, _option("test_every", POLICIES, "Put 1 in N documents into the test split.", "N")
]


# All keys of [import], in the order of the help.
OPTIONS: dict[str, Any] = {
    "folder": Folder,
    "layout": Layout,
    "train": Train,
    "test": Test,
    "id": Id,
    "text": TextColumns,
    "text_separator": Separator,
    "labels": Labels,
    "label_separator": LabelSeparator,
    "label_columns": LabelColumns,
    "multi_hot": MultiHot,
    "format": Format,
    "label_prefix": LabelPrefix,
    "encoding": Encoding,
    "header": Header,
    "quotes": Quotes,
    "delimiter": Delimiter,
    "label_table": LabelTable,
    "label_column": LabelColumn,
    "label_text_column": LabelTexts,
    "label_header": LabelHeader,
    "empty_text": Empty,
    "no_labels": NoLabels,
    "repeated": Repeated,
    "leaked": Leaked,
    "unseen": Unseen,
    "same_text": SameText,
    "min_label_count": MinCount,
    "test_every": TestEvery,
    "split": Split,
    "split_seed": SplitSeed,
}


@with_options(OPTIONS)
def import_(
    recipe: RecipeOption = None,
    settings: SetOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
    **keys: Any,
) -> None:
    """Import your own documents from --train and --test, from one table that is split, or from FOLDER."""
    report(run_stage("import", recipe, settings, store, force, {"import": import_keys(keys)}), as_json)


def import_keys(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of [import] that the options of a command set."""
    columns = [name.strip() for names in keys["label_columns"] or () for name in names.split(",")]
    return only_set(**{**keys, "label_columns": [name for name in columns if name]})
