"""Labels added to a trained model: the stage `grow`, run on a model wherever its folder is."""

import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xmcpipe.api.chains import ModelFolders
from xmcpipe.api.saving import copy_model
from xmcpipe.api.texts import name_list
from xmcpipe.artifacts.fingerprint import fingerprint, sha256_of_file
from xmcpipe.artifacts.manifest import FILE_NAME, SOURCE, Manifest
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.calibration.files import has_calibration
from xmcpipe.errors import XmcpipeError
from xmcpipe.recipe import load as load_recipe
from xmcpipe.stages.beside.grow import GROW
from xmcpipe.stages.chain import Chain
from xmcpipe.stages.predict import require_calibration_of
from xmcpipe.stages.runner import Outcome, Runner

COMMAND = ("xmcpipe.Model.grow",)
OF_TRAINING = ("shards", "embeddings")
ADOPTED = "copy"  # the stage in the manifest of a model that was copied into the store


def grown(
    folders: ModelFolders,
    labels: Iterable[str],
    texts: Mapping[str, str] | None,
    documents: Iterable[tuple[str, Collection[str]]] | None,
    keys: Mapping[str, Any],
    store: Path,
) -> Path:
    """The folder, in `store`, of the model with the labels that `Model.grow` was given; `keys` of [grow]."""
    with tempfile.TemporaryDirectory(prefix="xmcpipe-grow-") as folder:
        tables = write_tables(Path(folder), labels, texts, documents)
        return run_grow(folders, {**keys, **tables}, store, command=COMMAND).artifact.path


def run_grow(
    folders: ModelFolders,
    keys: Mapping[str, Any],
    store: Path,
    settings: Sequence[str] = (),
    shards: Path | None = None,
    command: Sequence[str] = (),
    force: bool = False,
    verify: bool = True,
) -> Outcome:
    """Make the model of `folders` with the labels that `keys` of the table [grow] name, in `store`.

    The shards and embeddings of the training are read if they are in the model's store or in this one, or
    `shards` names them. Raises XmcpipeError as the stage does, and for a folder without a model.
    """
    config = load_recipe(None, settings, {GROW.name: keys}).configs[GROW.name]
    parent = adopted(folders, Store(store))
    given = {"model": parent, **_of_training(parent, folders, Store(store))}
    if shards is not None:
        given["shards"] = _named_shards(parent, shards)
    if folders.calibration is not None and (folders.calibration / FILE_NAME).is_file():
        require_calibration_of(parent.path, folders.calibration)
        given["calibration"] = Artifact.at(folders.calibration)
    chain = Chain(Store(store), {GROW.name: config}, given)
    return Runner(chain, command, verify).run_one(GROW.name, force)


def adopted(folders: ModelFolders, store: Store) -> Artifact:
    """The model as an artifact. One that was copied, and so has no manifest of all its files, is put into the
    store, with its calibration: its fingerprint is that of the bytes.

    Raises XmcpipeError for a folder without a model, and for one of another version.
    """
    from xmcpipe.calibration.saved import read_calibration
    from xmcpipe.data.vocabulary_file import read_vocabulary
    from xmcpipe.modeling.saved import load_model

    loose = folders.calibration is not None and not (folders.calibration / FILE_NAME).is_file()
    if (folders.model / FILE_NAME).is_file() and not loose:
        found = Artifact.at(folders.model)
        found.manifest.require("model", MODEL_VERSION)
        if not has_calibration(folders.model) or "calibration.json" in found.manifest.outputs:
            return found
    source = folders if loose else ModelFolders(folders.model)
    # Before anything is copied: the sizes of a stranger's files are compared with what they say.
    num_labels = len(read_vocabulary(source.model, load_model(source.model)[0].head.num_labels))
    if source.calibration is not None or has_calibration(source.model):
        read_calibration(source.calibration or source.model, num_labels)
    with tempfile.TemporaryDirectory(prefix="xmcpipe-grow-") as temporary:
        copy = Path(temporary, "model")
        copy_model(source, copy, {}, (FILE_NAME, "log", "README.md", "classifier.json"))
        return _published(copy, store)


def _published(copy: Path, store: Store) -> Artifact:
    """Put a model into the store."""
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    content = {path.relative_to(copy).as_posix(): sha256_of_file(path) for path in files}
    config: dict[str, Any] = {"files": content}
    inputs = {SOURCE: fingerprint(ADOPTED, MODEL_VERSION, config, {})}
    name = fingerprint(ADOPTED, MODEL_VERSION, config, inputs)
    if (found := store.find("model", name)) is not None:
        return found
    building = store.building("model")
    shutil.copytree(copy, building, dirs_exist_ok=True)
    manifest = Manifest(ADOPTED, "model", MODEL_VERSION, name, config, inputs, {}, {}, {})
    return store.publish(building, store.seal(building, manifest, {}), replace=False)


def _of_training(parent: Artifact, folders: ModelFolders, store: Store) -> dict[str, Artifact]:
    """The shards and embeddings that the model was trained on, as far as they are in a store."""
    stores = (store, Store(folders.model.resolve().parent.parent))
    found = {}
    for kind in OF_TRAINING:
        made = parent.manifest.inputs.get(kind)
        artifacts = (each.find(kind, made) for each in stores if made is not None)
        if (artifact := next(filter(None, artifacts), None)) is not None:
            found[kind] = artifact
    if "shards" not in found:  # embeddings alone say nothing
        found.pop("embeddings", None)
    return found


def _named_shards(parent: Artifact, folder: Path) -> Artifact:
    artifact = Artifact.at(folder)
    made = parent.manifest.inputs.get("shards", artifact.manifest.fingerprint)
    if artifact.manifest.fingerprint != made:
        raise XmcpipeError(
            f"expected the shards {made[:16]}, which the model was trained on, got "
            f"{artifact.manifest.fingerprint[:16]}",
            "omit --shards to read them from the store",
        )
    return artifact


def write_tables(
    folder: Path,
    labels: Any,
    texts: Mapping[str, str] | None,
    documents: Iterable[tuple[str, Collection[str]]] | None,
) -> dict[str, str]:
    """Write what a program gives as the tables that the stage reads; returns their paths, by key of [grow].

    Raises XmcpipeError for names or texts that aren't strings, and for a text of no such label.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xmcpipe.growing.labels import ordered_texts

    names = name_list(labels, "labels")
    described = ordered_texts(names, texts)
    columns = [pa.array(names, pa.string()), pa.array(described, pa.string())]
    pq.write_table(pa.table(columns, ["label", "text"]), folder / "labels.parquet")
    tables = {"labels": str(folder / "labels.parquet")}
    if documents is not None:
        pairs = list(documents)
        for row, pair in enumerate(pairs):
            if isinstance(pair, str) or len(pair) != 2 or not isinstance(pair[0], str):
                raise XmcpipeError(
                    f"expected documents as pairs of a text and its labels, got {pair!r:.60} in place {row}",
                    'for example [("a text", ["a label"])]',
                )
        rows = [name_list(names_, "labels of a document") for _, names_ in pairs]
        columns = [pa.array([text for text, _ in pairs], pa.string()), pa.array(rows, pa.list_(pa.string()))]
        pq.write_table(pa.table(columns, ["text", "labels"]), folder / "documents.parquet")
        tables["documents"] = str(folder / "documents.parquet")
    return tables
