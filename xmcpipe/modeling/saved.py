"""A trained model on disk, which can be loaded without the shards it was trained on.

model.json          schema version, head, pooling, max_length, max_pieces, stride, number of training
                    documents, validation figures, the recipe's tables
model.safetensors   head.weight, head.index, head.bias · intermediate.* · head.word_weight, head.word_index,
                    words.codes, words.idf · frequent.labels, frequent.head.* as of head (those that the
                    model has), each in the dtype in which it was trained
encoder/            config.json and model.safetensors of the encoder, which AutoModel.from_pretrained reads

Older models have the encoder's tensors in the first file, named encoder.*; they are read too.
"""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import read_json_object
from xmcpipe.modeling import tensors
from xmcpipe.modeling.checks.facts import require_facts
from xmcpipe.modeling.checks.finite import require_finite_weights
from xmcpipe.modeling.checks.folder import HINT, read_config, require_fitting, shape_of
from xmcpipe.modeling.checks.indices import require_sound_indices
from xmcpipe.modeling.encoder import from_config
from xmcpipe.modeling.model import Model, build_model
from xmcpipe.modeling.plain_encoder import plain_encoder
from xmcpipe.pieces import Pieces

ENCODER = "encoder."  # how the names of its tensors begin in the model
ENCODER_WEIGHTS = Path("encoder", "model.safetensors")


def save_model(
    folder: Path, model: Model, pieces: Pieces, facts: dict[str, Any], encoder_of: Path | None = None
) -> None:
    """Write the model into `folder`; `facts` (JSON types) are copied into model.json.

    `pieces` is how texts were cut for the training, and will be for predictions. `encoder_of` is the folder
    of a model with the same encoder: the configuration is copied from there.

    The auxiliary branch serves training only and is not saved.
    """
    if encoder_of is None:
        model.encoder.config.save_pretrained(folder / "encoder")
    else:
        shutil.copytree(encoder_of / "encoder", folder / "encoder")
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("auxiliary.")}
    encoder = {name: state.pop(name) for name in list(state) if name.startswith(ENCODER)}
    tensors.save(folder / "model.safetensors", state)
    named = {name.removeprefix(ENCODER): tensor for name, tensor in encoder.items()}
    if not (folder / ENCODER_WEIGHTS).is_file():
        tensors.save(folder / ENCODER_WEIGHTS, named, {"format": "pt"})  # transformers asks for this
    table = {
        "schema_version": MODEL_VERSION,
        "head": vars(model.head.shape),
        "pooling": model.pooling,
        "intermediate": 0 if model.intermediate is None else model.intermediate.out_features,
        **vars(pieces),
        **({} if model.pieces == "mean" else {"pieces": model.pieces}),
        **({} if model.frequent is None else {"frequent": vars(model.frequent.head.shape)}),
        **({} if model.words is None else {"words": model.words.facts}),
        **facts,
    }
    (folder / "model.json").write_text(json.dumps(table, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Model, dict[str, Any]]:
    """The model of `folder` in evaluation mode, and the contents of model.json.

    All tensors are float32, except the head's weights, the largest part of a model, which stay in the dtype
    of their training. Raises XmcpipeError for a folder without a model, for a model of another schema
    version, for indices that are out of range or repeated, and for weights that are not finite.
    """
    facts = read_facts(folder)
    shape = shape_of(facts, folder)
    saved = _saved_tensors(folder)
    # Not on `device` yet: only what fits the files is allocated.
    require_fitting(folder, saved, lambda: build_model(_encoder(folder / "encoder", saved), shape, "meta"))
    model = build_model(_encoder(folder / "encoder", saved), shape, device)
    state = model.state_dict()
    for name, tensor in state.items():
        file, saved_name = saved[name]
        file.read_into(saved_name, tensor)
    require_sound_indices(model, folder / "model.safetensors", "train the model again, or get another copy")
    require_finite_weights(model, folder / "model.safetensors")
    return model.eval(), facts


def _saved_tensors(folder: Path) -> dict[str, tuple[tensors.TensorFile, str]]:
    """Where each tensor of the model is: a file, and its name there."""
    file = tensors.TensorFile(folder / "model.safetensors")
    saved = {name: (file, name) for name in file.names}
    if any(name.startswith(ENCODER) for name in saved):
        return saved
    encoder = tensors.TensorFile(folder / ENCODER_WEIGHTS)
    return saved | {f"{ENCODER}{name}": (encoder, name) for name in encoder.names}


def _encoder(folder: Path, names: Collection[str]) -> Any:
    """The encoder of config.json in `folder`, of which the tensors are those of `names` that say so."""
    config = read_config(folder)
    own = [name.removeprefix(ENCODER) for name in names if name.startswith(ENCODER)]
    found = plain_encoder(config, own)
    return from_config(str(folder)) if found is None else found


def read_facts(folder: Path) -> dict[str, Any]:
    """model.json of `folder`.

    Raises XmcpipeError as `load_model` does.
    """
    path = folder / "model.json"
    try:
        facts = read_json_object(path)
    except (OSError, ValueError) as error:
        raise XmcpipeError(
            f"{folder} is not a model artifact: {path.name} can't be read: {error}",
            "give the folder of a model artifact",
        ) from error
    if facts.get("schema_version") != MODEL_VERSION:
        raise XmcpipeError(
            f"{folder}: expected model format {MODEL_VERSION}, got {facts.get('schema_version')}",
            "run `xmcpipe train` again",
        )
    try:
        require_facts(facts)
    except ValueError as error:
        raise XmcpipeError(f"{folder}: model.json can't be read: {error}", HINT) from error
    return facts
