"""Trains a model on texts in memory: the recipe that `xmcpipe init` would write, run in a store."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xmcpipe.api.chains import ModelFolders, open_chain
from xmcpipe.api.label_sets import LabelSets
from xmcpipe.config import from_table
from xmcpipe.draft.keys import Table
from xmcpipe.draft.recipe import draft, is_calibrated
from xmcpipe.draft.survey import quiet_import, survey
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import Recipe, merge
from xmcpipe.recipe import load as load_recipe
from xmcpipe.stages.catalog import CATALOG
from xmcpipe.stages.importing import ImportConfig
from xmcpipe.stages.runner import Runner
from xmcpipe.training.config import TrainTable

FILES = ("folder", "train", "test", "label_table")
# Every document was given to be trained on, and every column of a matrix has a label.
POLICIES = {"repeated": "keep", "leaked": "keep", "min_label_count": 0}
COMMAND = ("xmcpipe.XMCClassifier.fit",)
Tables = dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the caller decides: `settings` maps keys of a recipe ("train.epochs") to values."""

    encoder: str
    frozen: bool
    device: str
    seed: int
    settings: Mapping[str, Any]


def train_model(
    texts: Sequence[str],
    labels: LabelSets,
    label_texts: Sequence[str | None] | None,
    wishes: Wishes,
    store: Path,
) -> ModelFolders:
    """Train on N texts; returns the model in `store`, and its calibration.

    Label i of the model is class i. There is no calibration if too few documents were set aside for one.

    Raises XmcpipeError for settings that are not valid, and as the stages do.
    """
    with tempfile.TemporaryDirectory(prefix="xmcpipe-fit-") as name, quiet_import():
        files = _write_tables(Path(name), texts, labels, label_texts)
        recipe = _recipe(files, wishes)
        made = {
            outcome.stage.kind: outcome.artifact.path
            for outcome in Runner(open_chain(recipe, store), COMMAND).run(
                stop="calibrate" if "calibrate" in recipe.configs else "train"
            )
        }
    return ModelFolders(made["model"], made.get("calibration"))


def _write_tables(
    folder: Path, texts: Sequence[str], labels: LabelSets, label_texts: Sequence[str | None] | None
) -> dict[str, str]:
    """Write the tables that `import` reads; returns their paths, by the keys of [import]."""
    names = pa.array([str(name) for name in labels.classes.tolist()], pa.string())
    matrix, column = labels.matrix, pa.array(texts, pa.string())
    lists = pa.ListArray.from_arrays(
        pa.array(matrix.indptr, pa.int32()), names.take(pa.array(matrix.indices))
    )
    # Nothing is tested here, but raw data have a test split: a document that is trained on too.
    usable = (row for row, text in enumerate(texts) if text.strip() and len(lists[row]))
    first = next(usable, None)
    if first is None:
        raise XmcpipeError("expected texts with labels, got none that has both", "check texts and labels")
    tables = {
        "train": {"text": column, "labels": lists},
        "test": {"text": column.slice(first, 1), "labels": lists.slice(first, 1)},
        "label_table": {
            "label": names,
            "text": pa.array(label_texts or [None] * len(names), pa.string()),
        },
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return {name: str(folder / f"{name}.parquet") for name in tables}


def _recipe(files: Mapping[str, str], wishes: Wishes) -> Recipe:
    from xmcpipe.modeling.encoder import width

    asked = _nested(wishes.settings)
    given = asked.get("import", {})
    if wrong := [name for name in FILES if name in given]:
        raise XmcpipeError(
            f"settings: fit imports the texts that it is given, not import.{wrong[0]}",
            "omit it; `xmcpipe run` trains on files",
        )
    imported = from_table(ImportConfig, {**POLICIES, **files, **given}, "import")
    encoder = asked.get("tokenize", {}).get("encoder", wishes.encoder)
    found = survey(imported, encoder)
    tables = _tables(draft(imported, found, encoder, width(encoder), wishes.frozen).tables)
    for stage in CATALOG:
        keys = {field.name for field in dataclasses.fields(stage.config)}
        if stage.name in tables and "device" in keys:
            tables[stage.name]["device"] = wishes.device
    tables = merge(tables, asked)
    if "calibrate" in tables and "calibrate" not in asked:
        train = from_table(TrainTable, tables["train"], "train")  # which may set fewer documents aside
        if not is_calibrated(train, found.documents):
            del tables["calibrate"]
    return load_recipe(None, [f"seed={wishes.seed}"], tables)


def _tables(drafted: Sequence[Table]) -> Tables:
    """The tables of a draft, those with a dot in their name inside the others."""
    flat = {f"{table.name}.{key.name}": key.value for table in drafted for key in table.keys}
    return merge({table.name: {} for table in drafted if "." not in table.name}, _nested(flat))


def _nested(settings: Mapping[str, Any]) -> Tables:
    """{"train.head.lr": 0.1} as {"train": {"head": {"lr": 0.1}}}."""
    tables: dict[str, Any] = {}
    for name, value in settings.items():
        *path, key = str(name).split(".")
        if not path or not all((*path, key)):
            raise XmcpipeError(
                f"settings: expected a key STAGE.KEY, got {name!r}", "for example train.epochs"
            )
        table = tables
        for part in path:
            table = table.setdefault(part, {})
        table[key] = list(value) if isinstance(value, tuple) else value
    return tables
