"""`predict`: predicts labels for new texts, or for the test documents of a recipe."""

import gzip
import json
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain as one_after_another
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.cli.options import (
    STORE,
    ForceOption,
    JsonOption,
    ModelOption,
    RecipeOption,
    SetOption,
    ShardsOption,
    StoreOption,
)
from xmcpipe.cli.session import open_chain, read_recipe, report, run_stage
from xmcpipe.errors import XmcpipeError, require_file

if TYPE_CHECKING:
    from xmcpipe.inference.bundle import Prediction

BATCH_SIZE = 32
SHOWN_TEXT = 100  # characters of a text that are printed on a terminal
Document = tuple[str | None, str]  # id or None, and text
Labels = Sequence["Prediction"]  # best first


def predict(
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
            metavar="FILE",
            help="Texts to label: JSONL with `text` (and `id`), or one text per line; - is standard input.",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of labels per text.")] = 5,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the words of a text that speak for each label.")
    ] = False,
    store: StoreOption = STORE,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Predict labels for texts from --text, --input or standard input.

    With a recipe or shards and no text, predict labels for the test documents.
    """
    if not text and input_file is None and (recipe is not None or shards is not None):
        if explain:
            raise XmcpipeError("expected a text with --explain, got none", "add --text or --input")
        inputs = {"model": model, "shards": shards}
        report(run_stage("predict", recipe, settings, store, force, inputs=inputs), as_json)
        return
    if text and input_file is not None:
        raise XmcpipeError("expected one of --text and --input, got both", "omit one of them")
    folder = model or _model_of(recipe, settings, store)
    weight = read_recipe(recipe, settings, {"predict": {}}).configs["predict"].propensity_weight
    documents = ((None, each) for each in text) if text else _documents(input_file)
    _print(_label(folder, documents, top, explain, weight), as_json or not _is_terminal())


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _model_of(recipe: str | None, settings: list[str] | None, store: Path) -> Path:
    if recipe is None:
        raise XmcpipeError("expected a model or a recipe, got neither", "add --model DIR or --recipe RECIPE")
    chain = open_chain(read_recipe(recipe, settings, {"predict": {}}), store)
    chain.require_inputs(chain.stage("predict"), ["model"])
    artifact = chain.input("model")[1]
    assert artifact, "required above"
    return artifact.path


def _label(
    folder: Path, documents: Iterable[Document], top: int, explain: bool, propensity_weight: float
) -> Iterator[tuple[Document, Labels]]:
    """Each document with its labels, in order, in bounded memory."""
    if (folder / "manifest.json").is_file():
        Artifact.at(folder).manifest.require("model", MODEL_VERSION)
    documents = iter(documents)
    first = next(documents, None)  # read now: bad input should fail before the model is loaded
    if first is None:
        return
    from xmcpipe.inference.bundle import Bundle

    # The model reads texts ahead, a batch at a time. The queue holds the documents that were read and have no
    # labels yet.
    waiting: deque[Document] = deque()

    def texts() -> Iterator[str]:
        for document in one_after_another([first], documents):
            waiting.append(document)
            yield document[1]

    bundle = Bundle.load(folder, explain=explain, propensity_weight=propensity_weight)
    for labels in bundle.predict(texts(), top, BATCH_SIZE):
        yield waiting.popleft(), labels


def _documents(path: Path | None) -> Iterator[Document]:
    """Documents from a file or, for None and "-", from standard input, read lazily."""
    if path is None or str(path) == "-":
        if path is None and sys.stdin.isatty():
            raise XmcpipeError("expected a text, got none", 'add --text "…" or --input FILE')
        yield from _parse(sys.stdin, "standard input", objects_only=False)
        return
    require_file(path, "--input")
    objects_only = path.name.removesuffix(".gz").endswith((".jsonl", ".json"))
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as lines
    ):
        yield from _parse(lines, str(path), objects_only)


def _parse(lines: Iterable[str], source: str, objects_only: bool) -> Iterator[Document]:
    """One document per line: a JSON object or (unless `objects_only`) a text; empty lines are skipped."""
    try:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if objects_only or line.lstrip().startswith("{"):
                yield _document(line, f"{source}, line {number}")
            else:
                yield None, line.strip()
    except UnicodeDecodeError as error:
        raise XmcpipeError(f"{source} isn't UTF-8 text: {error.reason}", "save it as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise XmcpipeError(f"{source} can't be read: {error}", "check the file") from error


def _document(line: str, place: str) -> Document:
    """One line of JSONL as a document; `place` names the line in errors."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise XmcpipeError(
            f"{place} isn't JSON: {error}", 'write one object per line: {"text": "…"}'
        ) from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        keys = ", ".join(row) if isinstance(row, dict) else type(row).__name__
        raise XmcpipeError(
            f"expected a string `text` in {place}, got {keys}", 'write one object per line: {"text": "…"}'
        )
    return None if row.get("id") is None else str(row["id"]), row["text"]


def _print(labelled: Iterable[tuple[Document, Labels]], as_json: bool) -> None:
    for (name, text), labels in labelled:
        if as_json:
            typer.echo(json.dumps(_row(name, text, labels), ensure_ascii=False))
            continue
        typer.echo(f"{name + ': ' if name else ''}{_shortened(text)}")
        for each in labels:
            typer.echo(
                f"  {each.score:9.4f}  {each.label}{f'  {_shortened(each.text)}' if each.text else ''}"
            )
            if each.words:
                parts = " · ".join(f"{word} {part:+.2f}" for word, part in each.words)
                typer.echo(f"{'':13}{_shortened(parts)}")


def _row(name: str | None, text: str, labels: Labels) -> dict[str, Any]:
    scored: list[dict[str, Any]] = [
        {"label": each.label, "text": each.text, "score": round(each.score, 6)} for each in labels
    ]
    for row, each in zip(scored, labels, strict=True):
        if each.words is not None:
            row["words"] = [{"word": word, "part": round(part, 6)} for word, part in each.words]
    return {**({"text": text} if name is None else {"id": name}), "labels": scored}


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= SHOWN_TEXT else words[: SHOWN_TEXT - 1] + "…"
