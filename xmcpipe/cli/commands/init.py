"""`init`: looks at the user's files, and writes a commented recipe for them."""

import dataclasses
import re
import shlex
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcpipe.cli.commands import importing
from xmcpipe.cli.options import JsonOption, with_options
from xmcpipe.cli.output import print_json
from xmcpipe.cli.shown import echo
from xmcpipe.config import from_table
from xmcpipe.draft.recipe import ENCODER, Draft, draft
from xmcpipe.draft.survey import Survey, quiet_import, survey
from xmcpipe.draft.text import recipe_text
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.importing import ImportConfig

FILES = ("folder", "train", "test", "label_table")
WIDTH = 80
LabelTable = Annotated[
    str | None,
    typer.Option(
        "--label-table",
        "--labels",
        metavar="FILE",
        help="Table of all labels, in order, with their texts.",
        rich_help_panel=importing.LABELS,
    ),
]


@with_options({**importing.OPTIONS, "label_table": LabelTable})
def init(
    encoder: Annotated[
        str,
        typer.Option("--encoder", metavar="NAME", help="Encoder: a hub id, a folder or package:NAME."),
    ] = ENCODER,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Recipe to write.")] = Path(
        "recipe.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the recipe if it exists.")] = False,
    as_json: JsonOption = False,
    **options: Any,
) -> None:
    """Look at your own documents, and write a commented recipe for them."""
    from xmcpipe.modeling.encoder import width

    _require_writable(out, force)
    keys = importing.import_keys(options)
    imported = from_table(ImportConfig, keys, "import")
    encoder_width = width(encoder)
    with quiet_import():  # its line of counts is repeated below, wrapped
        found = survey(imported, encoder)
    named: dict[str, Any] = {
        key: _beside(Path(value), out) for key in FILES if (value := getattr(imported, key)) is not None
    }
    drafted = draft(dataclasses.replace(imported, **named), found, encoder, encoder_width)
    name = _name(imported)
    _write(out, recipe_text(name, _heading(found, out), drafted.tables))
    if as_json:
        print_json(_facts(out, found, drafted))
    else:
        for name, line in _lines(out, found, drafted, imported):
            echo(_wrapped(name, line))


def _require_writable(out: Path, force: bool) -> None:
    """Before anything is read: raise XmcpipeError if the recipe exists or its folder doesn't."""
    if out.suffix != ".toml":
        raise XmcpipeError(f"expected a recipe that ends with .toml, got -o {out}", f"write -o {out}.toml")
    if out.exists() and not force:
        raise XmcpipeError(
            f"{out} exists already", "write another file with -o, or overwrite it with --force"
        )
    if not out.absolute().parent.is_dir():
        raise XmcpipeError(f"there is no folder {out.parent}", "create it, or write another file with -o")


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except PermissionError as error:
        raise XmcpipeError(
            f"{out} can't be written: {error.strerror}", "write another file with -o"
        ) from error


def _beside(path: Path, recipe: Path) -> str:
    """How the recipe names a file: relative, if it is in the recipe's folder, so that both can move."""
    path, folder = path.absolute(), recipe.absolute().parent
    relative = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    return f"./{relative}" if relative.startswith("~") else relative


def _name(imported: ImportConfig) -> str:
    """The name of the recipe: that of the file or folder, without its extensions."""
    stem = Path(str(imported.train or imported.folder)).name.split(".")[0]
    return re.sub(r"\W+", "_", stem) or "mine"


def _heading(found: Survey, out: Path) -> list[str]:
    return [
        f"Written by `xmcpipe init`. Run it with `xmcpipe run {shlex.quote(out.name)}`.",
        f"{found.documents:,} training and {found.test:,} test documents, {found.labels:,} labels, "
        f"{found.labels_a_document:g} labels a document.",
    ]


def _lines(out: Path, found: Survey, drafted: Draft, imported: ImportConfig) -> list[tuple[str, str]]:
    """What was seen and chosen: a word and a line each."""
    from xmcpipe.data.raw.writing import POLICY_OF_COUNT

    train, estimated = drafted.train, ", estimated from words" if found.tokens_estimated else ""
    faults = [
        f"{name.replace('_', ' ')} {found.figures[name]:,} ({getattr(imported, policy)})"
        for name, policy in POLICY_OF_COUNT.items()
        if found.figures.get(name)
    ]
    ends = f", the auxiliary loss to epoch {train.auxiliary.cutoff_epoch:g}" if train.auxiliary.weight else ""
    rewiring = f"rewired every {train.rewire.interval:,} steps" if train.rewire.interval else "not rewired"
    labels = f"{found.labels:,}, of them {found.singles:,} with one document"
    if imported.label_table is not None:
        labels += f" and {found.figures['labels_without_text']:,} without text"
    tokens = f"{found.tokens_median:,} in the median, {found.tokens_95:,} or fewer in 95 of 100 texts"
    typed = shlex.quote(str(out))
    steps = f"{train.epochs:,} epochs, {drafted.steps.total:,} steps, {train.warmup_steps:,} of warm-up"
    return [
        ("documents", f"{found.documents:,} to train, {found.test:,} to test"),
        ("labels", f"{labels}; {found.labels_a_document:g} a document"),
        ("tokens", tokens + estimated),
        ("faults", ", ".join(faults) or "none"),
        ("training", steps + ends),
        ("layer", f"fan-in {train.head.fan_in:,}, {rewiring}"),
        ("wrote", str(out)),
        ("memory", f"xmcpipe plan {typed} --labels {found.labels} --documents {found.documents}"),
        ("next", f"xmcpipe run {typed}"),
    ]


def _wrapped(name: str, line: str) -> str:
    """The line in a column of its own; paths stay whole."""
    wrapper = textwrap.TextWrapper(
        WIDTH, initial_indent=f"{name:<11}", subsequent_indent=" " * 11, break_long_words=False
    )
    wrapper.break_on_hyphens = False
    return wrapper.fill(line)


def _facts(out: Path, found: Survey, drafted: Draft) -> dict[str, Any]:
    from xmcpipe.config import to_table

    return {
        "recipe": str(out),
        "found": dataclasses.asdict(found),
        "steps": {"an_epoch": drafted.steps.per_epoch, "all": drafted.steps.total},
        "train": to_table(drafted.train),
    }
