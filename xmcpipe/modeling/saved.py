"""A trained model on disk, which needs no shards to load.

model.json          schema version, head, pooling, max_length, validation figures, the recipe's tables
model.safetensors   encoder.* · head.weight, head.index, head.bias · intermediate.* (what the model has), each
                    in the dtype that it was trained in
encoder/            config.json of the encoder, as AutoConfig reads it
"""

import json
from pathlib import Path
from typing import Any

import torch

from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import heads, tensors
from xmcpipe.modeling.encoder import from_config
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model


def save_model(folder: Path, model: Model, max_length: int, facts: dict[str, Any]) -> None:
    """Write the model into `folder`; `facts` (JSON types) go into model.json as they are."""
    model.encoder.config.save_pretrained(folder / "encoder")
    state = {name: value for name, value in model.state_dict().items() if not name.startswith("auxiliary.")}
    tensors.save(folder / "model.safetensors", state)
    table = {
        "schema_version": MODEL_VERSION,
        "head": vars(model.head.shape),
        "pooling": model.pooling,
        "intermediate": 0 if model.intermediate is None else model.intermediate.out_features,
        "max_length": max_length,
        **facts,
    }
    (folder / "model.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[Model, dict[str, Any]]:
    """The model of `folder` in evaluation mode, and the contents of model.json.

    All is in float32, but the head's weights in the dtype they were trained in: that is where the bytes are.
    Raises XmcpipeError for a folder that holds no model, or one of another schema version.
    """
    facts = read_facts(folder)
    encoder = from_config(str(folder / "encoder"))
    head = heads.build(HeadShape(**facts["head"]), device)
    model = Model(encoder, facts["pooling"], 0.0, facts["intermediate"], head, num_clusters=0).to(device)
    file, state = tensors.TensorFile(folder / "model.safetensors"), model.state_dict()
    if state.keys() != file.names:
        odd = sorted(state.keys() ^ file.names)[0]
        raise XmcpipeError(
            f"{folder}: model.safetensors doesn't fit model.json: {odd}", "train the model again"
        )
    for name, tensor in state.items():
        file.read_into(name, tensor)
    return model.eval(), facts


def read_facts(folder: Path) -> dict[str, Any]:
    """model.json of `folder`.

    Raises XmcpipeError as `load_model`.
    """
    path = folder / "model.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise XmcpipeError(
            f"{folder} holds no model: {path.name} can't be read", "name a model artifact"
        ) from error
    if facts.get("schema_version") != MODEL_VERSION:
        raise XmcpipeError(
            f"{folder} has model format {facts.get('schema_version')}, this xmcpipe reads {MODEL_VERSION}",
            "run `xmcpipe train` again",
        )
    return facts
