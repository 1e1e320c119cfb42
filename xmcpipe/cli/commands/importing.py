"""`import`: the user's own tables into the store. A key of ImportConfig is a parameter of that name here."""

import dataclasses
from typing import Annotated, Any

import typer

from xmcpipe.cli.options import STORE, ForceOption, JsonOption, RecipeOption, SetOption, StoreOption
from xmcpipe.cli.session import filled, report, run_stage
from xmcpipe.data.layouts import layout_names
from xmcpipe.stages.importing import ImportConfig

READING, WRITTEN, LABELS, KEEPING = "What to read", "How it is written", "Table of labels", "What to keep"
POLICY = "keep|drop|refuse"
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(ImportConfig)}


def _option(key: str, panel: str, help_text: str, metavar: str | None, name: str | None = None) -> Any:
    """The option of one key of the config; its help states the config's own default."""
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
    typer.Argument(metavar="[FOLDER]", help="A dataset as PECOS, AttentionXML or the XC repository have it."),
]
Layout = Annotated[
    Text,
    _option(
        "layout",
        READING,
        "Layout of FOLDER; detected from file names by default.",
        "|".join(("auto", *layout_names())),
    ),
]
Train = Annotated[Text, _option("train", READING, "JSONL, CSV, TSV (.gz too) or Parquet.", "FILE")]
Test = Annotated[Text, _option("test", READING, "The test's table; without it --train is split.", "FILE")]
Id = Annotated[Text, _option("id", READING, "Default: id, else the row's number.", "COLUMN", "--id-column")]
TextColumns = Annotated[
    list[str] | None,
    _option("text", READING, "Repeatable: they are joined. Default: text.", "COLUMN", "--text-column"),
]
Separator = Annotated[
    Text, _option("text_separator", READING, "Joins text columns. Default: a blank.", "TEXT")
]
Labels = Annotated[
    Text, _option("labels", READING, "A list, or a string with separators.", "COLUMN", "--labels-column")
]
LabelSeparator = Annotated[
    Text, _option("label_separator", READING, "Parts labels that are a string.", "TEXT")
]
Encoding = Annotated[Text, _option("encoding", WRITTEN, "Of all but Parquet.", "NAME")]
Header = Annotated[
    bool | None, _option("header", WRITTEN, "Without one columns are 1, 2, ….", None, "--header/--no-header")
]
Quotes = Annotated[Text, _option("quotes", WRITTEN, "In CSV and TSV.", "auto|double|none")]
LabelTable = Annotated[Text, _option("label_table", LABELS, "Labels, in order, and their texts.", "FILE")]
LabelColumn = Annotated[Text, _option("label_column", LABELS, "Its labels.", "COLUMN")]
LabelTexts = Annotated[Text, _option("label_text_column", LABELS, "Its texts.", "COLUMN")]
LabelHeader = Annotated[
    bool | None,
    _option("label_header", LABELS, "Whether it has one.", None, "--label-header/--no-label-header"),
]
Empty = Annotated[Text, _option("empty_text", KEEPING, "Documents without text.", POLICY)]
NoLabels = Annotated[Text, _option("no_labels", KEEPING, "Documents without a label.", POLICY)]
Repeated = Annotated[Text, _option("repeated", KEEPING, "Documents with the text of an earlier one.", POLICY)]
Leaked = Annotated[Text, _option("leaked", KEEPING, "Training documents with a test's text.", POLICY)]
Unseen = Annotated[Text, _option("unseen", KEEPING, "Test labels never seen in training.", POLICY)]
SameText = Annotated[Text, _option("same_text", KEEPING, "When two texts are the same.", "caseless|exact")]
MinCount = Annotated[
    int | None, _option("min_label_count", KEEPING, "Labels with fewer documents are dropped.", "N")
]
TestEvery = Annotated[int | None, _option("test_every", KEEPING, "A split's share of test is 1 / N.", "N")]


def import_(
    context: typer.Context,
    folder: Folder = None,
    layout: Layout = None,
    train: Train = None,
    test: Test = None,
    id: Id = None,
    text: TextColumns = None,
    text_separator: Separator = None,
    labels: Labels = None,
    label_separator: LabelSeparator = None,
    encoding: Encoding = None,
    header: Header = None,
    quotes: Quotes = None,
    label_table: LabelTable = None,
    label_column: LabelColumn = None,
    label_text_column: LabelTexts = None,
    label_header: LabelHeader = None,
    empty_text: Empty = None,
    no_labels: NoLabels = None,
    repeated: Repeated = None,
    leaked: Leaked = None,
    unseen: Unseen = None,
    same_text: SameText = None,
    min_label_count: MinCount = None,
    test_every: TestEvery = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring in your own documents: --train and --test, one table that is split, or a dataset's FOLDER."""
    keys = {field.name: context.params[field.name] for field in dataclasses.fields(ImportConfig)}
    report(run_stage("import", recipe, settings, store, force, {"import": filled(**keys)}), as_json)
