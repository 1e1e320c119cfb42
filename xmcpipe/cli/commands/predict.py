"""`predict`: predicts labels for new texts, or for the test documents of a recipe."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from xmcpipe.api.chains import ModelFolders, model_of
from xmcpipe.api.finding import read_ranking
from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.artifacts.verified import require_whole
from xmcpipe.artifacts.versions import CALIBRATION_VERSION, MODEL_VERSION
from xmcpipe.cli import labelling, text_source
from xmcpipe.cli.commands import importing
from xmcpipe.cli.options import (
    STORE,
    CalibrationOption,
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
from xmcpipe.config import read_names
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
    calibration: CalibrationOption = None,
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
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            metavar="P|f1|macro-f1",
            help="Smallest probability of a predicted label; f1: the one that `calibrate` chose for all "
            "labels; macro-f1: those that it chose for each label.",
        ),
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option(
            "--allow",
            metavar="FILE|A,B,…",
            help="Labels that may be predicted: names, or a file with one on each line. By default all.",
        ),
    ] = None,
    deny: Annotated[
        str | None,
        typer.Option("--deny", metavar="FILE|A,B,…", help="Labels that are never predicted, as in --allow."),
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
    keys = only_set(
        k=top,
        device=device,
        batch_size=batch_size,
        threshold=_number_or_word(threshold),
        allow=_names(allow, "--allow"),
        deny=_names(deny, "--deny"),
    )
    if not _reads_texts(text, input_file, name, shards):
        _refuse_with_test_documents(explain=explain, out=out, format=out_format)
        inputs = {"model": model, "shards": shards, "calibration": calibration}
        report(run_stage("predict", name, settings, store, force, {"predict": keys}, inputs, verify), as_json)
        return
    _refuse_with_texts(shards=shards, force=force)
    if out_format is not None and out is None:
        raise XmcpipeError(f"expected -o FILE with --format {out_format}, got none", "add -o FILE")
    if explain and out is not None:
        raise XmcpipeError("expected one of --explain and -o, got both", "omit one of them")
    if not name:
        keys = {"k": DEFAULT_TOP, **(read_ranking(model) if model else {}), **keys}
    loaded = read_recipe(name, settings, {"predict": keys})
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
    folders = ModelFolders(model) if model else _model_of(loaded, name, store)
    if calibration is not None:
        folders = ModelFolders(folders.model, calibration)
    with _whole(folders, store, verify):
        if out is not None:
            labelling.write_labels(folders, source, config, out, out_format, as_json)
        else:
            batches = text_source.batches_of_file(source) if isinstance(source, TextFile) else source
            labelling.print_labels(folders, batches, config, explain, as_json)


def _number_or_word(text: str | None) -> float | str | None:
    """The value of --threshold; the table [predict] then says whether it is valid."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _names(text: str | None, option: str) -> list[str] | None:
    """The names of --allow or --deny: those in a file, if there is one of this name, or between commas."""
    if text is None:
        return None
    if Path(text).is_file():
        return read_names(Path(text), option)
    names = [name for part in text.split(",") if (name := part.strip())]
    if not names:
        raise XmcpipeError(
            f"expected names of labels or a file with {option}, got {text!r}", "for example a,b"
        )
    return names


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


def _model_of(recipe: Recipe, name: str | None, store: Path) -> ModelFolders:
    """The recipe's model. Raises XmcpipeError without a recipe, and if it isn't trained or calibrated yet."""
    if name is None:
        raise XmcpipeError("expected a model or a recipe, got neither", "add --model DIR or --recipe RECIPE")
    return model_of(recipe, store)


@contextmanager
def _whole(folders: ModelFolders, store: Path, verify: bool) -> Iterator[None]:
    """Check the artifacts of a model, and keep them from being removed during the block.

    A folder without a manifest is checked when it is loaded.
    """
    versions = (
        (folders.model, "model", MODEL_VERSION),
        (folders.calibration, "calibration", CALIBRATION_VERSION),
    )
    with ExitStack() as stack:
        for folder, kind, version in versions:
            if folder is not None and (folder / FILE_NAME).is_file():
                artifact = Artifact.at(folder)
                artifact.manifest.require(kind, version)
                stack.enter_context(Store(store).reading(artifact))
                if verify:
                    require_whole(artifact)
        yield
