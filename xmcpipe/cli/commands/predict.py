"""`predict`: predicts labels for new texts, or for the test documents of a recipe."""

from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from xmcpipe.api.chains import model_folder
from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import Verified
from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.cli import labelling, text_source
from xmcpipe.cli.commands import importing
from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    ModelOption,
    RecipeArgument,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
    VerifyOption,
)
from xmcpipe.cli.session import at_most_one_recipe, only_set, read_recipe, report, run_stage
from xmcpipe.cli.text_source import STANDARD_INPUT, Reading, TextFile
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import Recipe
from xmcpipe.stages.importing import ImportConfig
from xmcpipe.stages.predict import PredictConfig

INPUT_FORMATS = ("text", *get_args(get_type_hints(ImportConfig)["format"]))
DEFAULT_TOP = 5  # number of labels without a recipe


# Long: Typer reads its options from the signature.
def predict(
    recipe_argument: RecipeArgument = None,
    recipe: RecipeOption = None,
    settings: SetOption = None,
    model: ModelOption = None,
    shards: ShardsOption = None,
    text: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Text to label (repeatable).")
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE|FOLDER",
            help="Texts to label: JSONL, CSV, TSV (also .gz), Parquet, .txt with one text per line, or a "
            "folder of .txt files with one text each; - is standard input.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="File to write: .parquet, .jsonl, .csv or .npz; "
            "the same command continues it if it was killed.",
        ),
    ] = None,
    out_format: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="parquet|jsonl|csv|npz", help="Format of -o; by default that of its ending."
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Labels per text; by default predict.k of the recipe, else 5."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="Device: auto, cpu, cuda, cuda:1, …")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Number of texts that are scored at a time.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the words of a text that speak for each label.")
    ] = False,
    input_format: Annotated[
        str,
        typer.Option(
            "--input-format",
            metavar="text|FORMAT",
            help="text: each line of --input is a text, whatever it looks like; or a format of `import`. "
            "By default that of the ending.",
            rich_help_panel=importing.READING,
        ),
    ] = "auto",
    text_columns: importing.TextColumns = None,
    id_column: importing.Id = None,
    text_separator: importing.Separator = None,
    encoding: importing.Encoding = None,
    header: importing.Header = None,
    quotes: importing.Quotes = None,
    delimiter: importing.Delimiter = None,
    label_prefix: importing.LabelPrefix = None,
    store: StoreOption = STORE,
    force: ForceOption = False,
    verify: VerifyOption = True,
    as_json: JsonOption = False,
) -> None:
    """Predict labels for texts from --text, --input or standard input.

    With a recipe or shards and no text, predict labels for the test documents.
    """
    if input_format not in INPUT_FORMATS:
        raise XmcpipeError(
            f"expected --input-format, one of {', '.join(INPUT_FORMATS)}, got {input_format}",
            "omit it to go by the ending of --input",
        )
    name = at_most_one_recipe(recipe_argument, recipe)
    keys = only_set(k=top, device=device, batch_size=batch_size)
    if not _reads_texts(text, input_file, name, shards):
        _refuse_with_test_documents(explain=explain, out=out, format=out_format)
        inputs = {"model": model, "shards": shards}
        report(run_stage("predict", name, settings, store, force, {"predict": keys}, inputs, verify), as_json)
        return
    _refuse_with_texts(shards=shards, force=force)
    if out_format is not None and out is None:
        raise XmcpipeError(f"expected -o FILE with --format {out_format}, got none", "add -o FILE")
    if explain and out is not None:
        raise XmcpipeError("expected one of --explain and -o, got both", "omit one of them")
    loaded = read_recipe(name, settings, {"predict": keys if name else {"k": DEFAULT_TOP, **keys}})
    config = loaded.configs["predict"]
    reading = Reading(
        defaults=loaded.configs.get("import"),
        input_format=input_format,
        text=text_columns,
        id=id_column,
        text_separator=text_separator,
        encoding=encoding,
        header=header,
        quotes=quotes,
        delimiter=delimiter,
        label_prefix=label_prefix,
    )
    source = _source(text, input_file, reading, config)
    folder = model or _model_of(loaded, name, store)
    _require_whole_model(folder, store, verify)
    if out is not None:
        labelling.write_labels(folder, source, config, out, out_format, as_json)
    else:
        batches = text_source.batches_of_file(source) if isinstance(source, TextFile) else source
        labelling.print_labels(folder, batches, config, explain, as_json)


def _reads_texts(
    text: list[str] | None, input_file: Path | None, name: str | None, shards: Path | None
) -> bool:
    """Whether to label texts, and not the test documents of a recipe or of shards."""
    if text and input_file is not None:
        raise XmcpipeError("expected one of --text and --input, got both", "omit one of them")
    if input_file == STANDARD_INPUT:
        return True
    named = bool(text) or input_file is not None
    from_input = text_source.choose_standard_input(named or shards is not None, name is not None)
    return named or from_input


def _source(
    text: list[str] | None, input_file: Path | None, reading: Reading, config: PredictConfig
) -> TextFile | labelling.Batches:
    if text:
        if reading.given():
            raise XmcpipeError(
                f"expected a file with {reading.given()[0]}, got --text", f"omit {reading.given()[0]}"
            )
        return text_source.of_texts(text)
    if input_file is None or input_file == STANDARD_INPUT:
        return text_source.batches_of_standard_input(reading, config.batch_size)
    return TextFile(input_file, reading)


def _refuse_with_test_documents(explain: bool, **file: Any) -> None:
    if explain:
        raise XmcpipeError("expected a text with --explain, got none", "add --text or --input")
    if any(file.values()):
        raise XmcpipeError(
            "expected texts with -o, got none",
            "add --input FILE; `xmcpipe export` writes the predictions of the test documents",
        )


def _refuse_with_texts(shards: Path | None, force: bool) -> None:
    """Options that would have no effect on new texts."""
    if shards is not None:
        raise XmcpipeError("expected either texts or --shards, got both", "omit one of them")
    if force:
        raise XmcpipeError(
            "--force is for the test documents of a recipe; texts are labelled each time", "omit --force"
        )


def _model_of(recipe: Recipe, name: str | None, store: Path) -> Path:
    """The folder of the recipe's model. Raises XmcpipeError without a recipe, and if it isn't trained yet."""
    if name is None:
        raise XmcpipeError("expected a model or a recipe, got neither", "add --model DIR or --recipe RECIPE")
    return model_folder(recipe, store)


def _require_whole_model(folder: Path, store: Path, verify: bool) -> None:
    """Check a model that is an artifact; a folder without a manifest is checked when it is loaded."""
    if (folder / FILE_NAME).is_file():
        artifact = Artifact.at(folder)
        artifact.manifest.require("model", MODEL_VERSION)
        if verify:
            Verified(store).require_whole(artifact)
