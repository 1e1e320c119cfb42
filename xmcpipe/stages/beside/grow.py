"""`grow`: adds labels to a trained model; the result is a model with the old and the new labels.

This stage is beside the chain: it reads a model and makes one. How rows are fitted says `xmcpipe.growing`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.artifacts.fingerprint import sha256_of_file, sha256_of_files
from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.config import file_path, require_at_least, runtime
from xmcpipe.data.tables.keys import READER_VERSION, Format, TableKeys
from xmcpipe.errors import XmcpipeError, require_file
from xmcpipe.stages.stage import Result, Stage

if TYPE_CHECKING:
    from xmcpipe.growing.grow import Grown
    from xmcpipe.growing.labels import NewLabels


WORK = ("background", "epochs", "rows", "device", "precision", "label_chunk")  # fields of `growing.Work`


@dataclass(frozen=True, kw_only=True)
class Files:
    """What to read. These are the first keys of [grow], before those of `TableKeys`."""

    labels: str | None = file_path()
    """Table of the labels to add, with their texts: CSV, TSV, JSONL, Parquet, …; or .txt with a name on each
    line, which is the label's text too."""

    documents: str | None = file_path()
    """Table of documents with labels, in any format that `import` reads. Labels may be new or the model's."""


@dataclass(frozen=True, kw_only=True)
class GrowConfig(TableKeys, Files):
    """The recipe table [grow]: which labels to add, how to read them, and how to fit them."""

    # Not `later`, as [import] has them: fingerprints of grown models have these three from the beginning.
    label_prefix: str = "__label__"
    delimiter: str | None = None
    format: Format = "auto"
    """Format of the documents, as import.format."""

    text: tuple[str, ...] = ("text",)
    """Columns whose values, joined by text_separator, are the text of a document."""

    labels_column: str = "labels"
    """Column of the labels of a document: lists, or (with label_separator) strings."""

    epochs: int = 0
    """Number of epochs that train the output layer on the documents, and on those of the training that the
    fit reads, after the new rows are fitted."""

    rows: Literal["new", "all"] = "new"
    """Rows that epochs train: those of new labels, or those of all labels."""

    background: int = 16_384
    """Number of documents of the training from which new labels are told apart."""

    assumed_documents: float = 20.0
    """Number of training documents that a new label is taken to have, unless it is given more: the larger,
    the more often it is predicted."""

    lookalikes: float = 1.0
    """Number of documents of the training that may be about a new label although they don't have it, as a
    multiple of assumed_documents; those that resemble it most are not held against it."""

    resembling: int = 5
    """Number of documents of the training that stand for those of a label with a text alone: the ones that
    resemble the text most."""

    feature_penalty: float = 10.0
    """Penalty of the squared weights of features, in standard deviations of the feature."""

    word_penalty: float = 0.1
    """Penalty of the squared weights of words."""

    seed: int = 0
    """Seed with which documents of the training are drawn."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Floating-point type in which the encoder computes. A processor without instructions for it computes in
    float32."""

    device: str = runtime("auto")
    """Device to run on, such as "cpu" or "cuda"; "auto" uses a GPU if there is one."""

    label_chunk: int = runtime(32_768)
    """Number of labels that are scored at a time."""

    def __post_init__(self) -> None:
        """Raise ValueError for a missing table and a number out of range."""
        if self.labels is None:
            raise ValueError("expected labels, a table of the labels to add, got none")
        require_at_least(self, 1, "background", "label_chunk")
        require_at_least(self, 0, "epochs", "seed", "lookalikes", "resembling")
        for name in ("assumed_documents", "feature_penalty", "word_penalty"):
            if getattr(self, name) <= 0:
                raise ValueError(f"expected {name} > 0, got {name} = {getattr(self, name)}")
        self.check_table_keys()

    @property
    def files(self) -> dict[str, Path]:
        """The files to read, by their key."""
        named = {"labels": self.labels, "documents": self.documents}
        return {key: Path(name) for key, name in named.items() if name is not None}


def source(config: GrowConfig) -> str:
    """One sha256 over the keys and bytes of the files, and the version of their reader.

    Raises XmcpipeError for a missing file.
    """
    digest = hashlib.sha256(f"reader {READER_VERSION}\n".encode())
    for key, path in config.files.items():
        if path.is_dir() and key == "documents":
            from xmcpipe.data.tables.folders import folder_files

            digest.update(f"{key} {sha256_of_files(folder_files(path))}\n".encode())
        else:
            digest.update(
                f"{key} {path.suffix} {sha256_of_file(require_file(path, f'grow.{key}'))}\n".encode()
            )
    return digest.hexdigest()


def run(config: GrowConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the model with the new labels into `out`.

    `inputs` has the "model"; "shards" and "embeddings" of its training, and its "calibration", if there are
    any. Raises XmcpipeError for labels that can't be added (see `growing.labels`) and a model that can't have
    more.
    """
    from xmcpipe.data.vocabulary_file import read_vocabulary
    from xmcpipe.growing.grow import Parent, Work, grow
    from xmcpipe.growing.settings import FitSettings
    from xmcpipe.growing.writing import write_grown

    before = source(config)
    labels = read_vocabulary(inputs["model"])
    new = _read(config, labels["label"].to_pylist())
    if source(config) != before:
        raise XmcpipeError("the files that grow reads changed while it ran", "run it again")
    embeddings = inputs.get("embeddings") if _is_frozen(inputs["model"]) else None
    parent = Parent(inputs["model"], labels, inputs.get("shards"), embeddings)
    work = Work(
        fit=FitSettings(**{field.name: getattr(config, field.name) for field in fields(FitSettings)}),
        **{key: getattr(config, key) for key in WORK},
    )
    grown = grow(parent, new, work)
    write_grown(grown, parent, new, inputs.get("calibration"), out)
    return Result(_figures(grown, new, len(labels)), {"labels.parquet": len(labels) + len(new.names)})


def _is_frozen(model: Path) -> bool:
    """Whether the encoder is the pretrained one, whose embeddings an [embed] table made."""
    from xmcpipe.modeling.saved import read_facts

    train = read_facts(model).get("recipe", {}).get("train", {})
    return bool(train.get("encoder", {}).get("frozen"))


def _read(config: GrowConfig, known: list[str]) -> "NewLabels":
    """The labels to add, with their texts and documents."""
    from xmcpipe.data.tables.label_table import read_whole_label_table
    from xmcpipe.data.tables.labels.uris import bare_uris
    from xmcpipe.growing.labels import new_labels

    path = require_file(config.files["labels"], "grow.labels")
    table = read_whole_label_table(path, config.label_column, config.label_text_column, config.label_files)
    # Labels in angle brackets stay so if those of the model are.
    bare = not any(name.startswith("<") for name in known)
    names = bare_uris(table["label"]) if bare else table["label"]
    documents = None if config.documents is None else _documents(config, bare)
    return new_labels(known, names.to_list(), table["text"].to_list(), documents)


def _documents(config: GrowConfig, bare: bool) -> Iterator[tuple[str, list[str]]]:
    """Text and label names of each document; if `bare`, URIs without the brackets around them."""
    from xmcpipe.data.tables.formats import DocumentColumns, read_documents
    from xmcpipe.data.tables.labels.uris import bare_uris

    columns = DocumentColumns(
        text=config.text,
        text_separator=config.text_separator,
        labels=config.labels_column,
        label_separator=config.label_separator,
    )
    for rows in read_documents(config.files["documents"], columns, config.document_files):
        names = bare_uris(rows["labels"]) if bare else rows["labels"]
        for text, labels in zip(rows["text"], names, strict=True):
            yield text, [str(label) for label in labels]


def _figures(grown: "Grown", new: "NewLabels", num_labels: int) -> dict[str, Any]:
    """The figures for the manifest."""
    return {
        "labels": num_labels + len(new.names),
        "new_labels": len(new.names),
        "documents": len(new.documents),
        "labels_without_documents": int((grown.counts_M == 0).sum()),
        "background": grown.background,
    }


GROW = Stage(
    name="grow",
    kind="model",
    config=GrowConfig,
    schema_version=MODEL_VERSION,
    inputs=("model", "shards", "embeddings", "calibration"),
    run=run,
    source=source,
    required=lambda config: ("model",),
    beside=True,
    help="Add labels to a trained model, by their texts or a few documents. Old labels stay as they are.",
)
