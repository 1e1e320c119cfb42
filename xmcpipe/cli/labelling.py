"""Labels texts with a model and prints the labels, or writes them to a file."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain as one_after_another
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xmcpipe
from xmcpipe.api.chains import ModelFolders
from xmcpipe.api.model import open_bundle, wanted_of
from xmcpipe.artifacts.fingerprint import sha256_of_file
from xmcpipe.artifacts.store import Artifact
from xmcpipe.calibration.files import FILES
from xmcpipe.cli.output import print_json
from xmcpipe.cli.shown import echo, json_text, one_line
from xmcpipe.cli.text_source import TextFile
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.document import Document
from xmcpipe.stages.predict import PredictConfig

if TYPE_CHECKING:
    from xmcpipe.inference.bundle import Prediction

SHOWN_TEXT = 100  # characters of a text that are printed on a terminal
Batches = Iterable[list[Document]]
Labels = Sequence["Prediction"]  # best first


def print_labels(
    folders: ModelFolders, batches: Batches, config: PredictConfig, explain: bool, as_json: bool
) -> None:
    """Print the labels of each document, in order, as soon as those of its batch are known.

    With `as_json`, or if standard output is no terminal, they are JSON lines.
    """
    as_json = as_json or not _is_terminal()
    begun = _begun(batches)
    if begun is None:
        return
    bundle = open_bundle(folders, config, explain)
    selection = bundle.select(wanted_of(config), folders.model)
    for batch in begun:
        found = bundle.predict([document.text for document in batch], selection, config.batch_size)
        lines = [
            line
            for document, labels in zip(batch, found, strict=True)
            for line in _lines(document, labels, as_json)
        ]
        echo("\n".join(lines))


def write_labels(
    folders: ModelFolders,
    source: TextFile | Batches,
    config: PredictConfig,
    out: Path,
    named_format: str | None,
    as_json: bool,
) -> None:
    """Write the labels of each document to the file `out`, and print how many.

    A killed prediction of a file is continued. All faults of the file are found before the model is loaded.
    """
    from xmcpipe.inference.bulk import Job, predict_file
    from xmcpipe.inference.outputs import output_format, require_writable

    kind, total, identity = output_format(out, named_format), None, None
    require_writable(out)
    if isinstance(source, TextFile) and out.resolve() == source.path.resolve():
        raise XmcpipeError(f"expected another file with -o, got the input {out}", "name a new file")
    if isinstance(source, TextFile):
        total, documents = source.count(), source.documents()
    else:
        documents = one_after_another.from_iterable(source)
    bundle = open_bundle(folders, config)
    selection = bundle.select(wanted_of(config), folders.model)
    if isinstance(source, TextFile):
        identity = {**source.identity(), **_identity(folders, config), "device": str(bundle.device)}
    started = time.monotonic()
    job = Job(out, kind, selection, config.batch_size, identity)
    written = predict_file(documents, bundle, job, total)
    most = selection.most(len(bundle.labels))
    facts = {"path": str(out), "format": kind, "labels_per_document": most, **vars(written)}
    rate = (facts["documents"] - facts["continued_from"]) / max(time.monotonic() - started, 1e-9)
    facts["documents_per_second"] = round(rate, 1)
    if as_json:
        print_json(facts)
    else:
        echo(_summary(facts, cut=selection.cut is not None))


def _summary(facts: dict[str, Any], cut: bool) -> str:
    labels = f"{'at most ' if cut else ''}{facts['labels_per_document']} labels each"
    line = f"{facts['path']}: {facts['documents']:,} documents, {labels}"
    if facts["without_text"]:
        line += f"; {facts['without_text']:,} without text have no labels"
    return f"{line}; {facts['documents_per_second']:,.0f} documents/s"


def _identity(folders: ModelFolders, config: PredictConfig) -> dict[str, Any]:
    """Everything besides the texts that determines the scores, to the last digit."""
    keys = ("k", "propensity_weight", "order", "precision", "batch_size", "label_chunk", "threshold")
    settings = {key: getattr(config, key) for key in keys}
    for key, names in (("allow", config.allow), ("deny", config.deny)):
        settings[key] = None if names is None else list(names)  # as JSON will have it
    return {
        "xmcpipe": xmcpipe.__version__,
        "model": _name(folders.model),
        "calibration": None if folders.calibration is None else _name(folders.calibration),
        **settings,
    }


def _name(folder: Path) -> str:
    """What is in the folder of an artifact, or of a copied model, as a few characters."""
    if (folder / "manifest.json").is_file():
        return Artifact.at(folder).manifest.fingerprint
    files = (
        folder / "model.json",
        *(folder / name for name in FILES),
        *sorted(folder.rglob("*.safetensors")),
    )
    return "".join(sha256_of_file(path) for path in files if path.is_file())


def _begun(batches: Batches) -> Batches | None:
    """The same batches, the first of which is read now: bad input is refused before a model is loaded.

    None if there are none.
    """
    stream = iter(batches)
    first = next(stream, None)
    return None if first is None else one_after_another([first], stream)


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _lines(document: Document, labels: Labels, as_json: bool) -> Iterator[str]:
    """The lines to print for one document."""
    if as_json:
        yield json_text(_row(document, labels))
        return
    yield f"{one_line(document.id) + ': ' if document.id else ''}{_shortened(document.text)}"
    for each in labels:
        text = f"  {_shortened(each.text)}" if each.text else ""
        probability = "" if each.probability is None else f"  {100 * each.probability:5.1f}%"
        yield f"  {each.score:9.4f}{probability}  {one_line(each.label)}{text}"
        if each.words:
            parts = " · ".join(f"{word} {part:+.2f}" for word, part in each.words)
            yield f"{'':13}{_shortened(parts)}"


def _row(document: Document, labels: Labels) -> dict[str, Any]:
    from xmcpipe.inference.outputs import scored

    rows = [scored(each.label, each.text, each.score, each.probability) for each in labels]
    for row, each in zip(rows, labels, strict=True):
        if each.words is not None:
            row["words"] = [{"word": word, "part": round(part, 6)} for word, part in each.words]
    return {**({"text": document.text} if document.id is None else {"id": document.id}), "labels": rows}


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= SHOWN_TEXT else words[: SHOWN_TEXT - 1] + "…"
