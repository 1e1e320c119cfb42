"""Checks of a model folder of unknown origin, before anything is built that its files ask for.

Every number that decides an allocation is compared with the tensors on file: the model is first built on the
device "meta", which allocates nothing, and its tensors must be those of model.safetensors.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xmcpipe.errors import XmcpipeError
from xmcpipe.json_file import read_json_object
from xmcpipe.modeling.encoder import require_no_code
from xmcpipe.modeling.head_table import HEADS
from xmcpipe.modeling.heads import DTYPES, HeadShape
from xmcpipe.modeling.model import ModelShape
from xmcpipe.modeling.tensors import TensorFile
from xmcpipe.pieces import Pieces

HINT = "give the folder of a model artifact"
MOST = 1 << 40  # limit of any size in model.json: far above real ones, far below overflows
SMALL = 1 << 20  # a number in config.json up to this needs no comparison with the file


def shape_of(facts: dict[str, Any], folder: Path) -> ModelShape:
    """The shape of the model that model.json describes. Raises XmcpipeError for missing or wrong entries."""
    try:
        words = facts.get("words", {"kind": "pairs", "count": 0})
        if facts["pooling"] not in ("cls", "mean") or words["kind"] not in ("words", "pairs"):
            raise ValueError(f"unknown pooling {facts['pooling']!r} or words {words['kind']!r}")
        if (pieces := facts.get("pieces", "mean")) not in ("mean", "max"):
            raise ValueError(f"unknown pieces {pieces!r}")
        for name, value in vars(Pieces.of(facts)).items():
            _count(name, value, SMALL)
        return ModelShape(
            _head(facts["head"]),
            facts["pooling"],
            _count("intermediate", facts["intermediate"]),
            word_kind=words["kind"],
            num_words=_count("words.count", words["count"]),
            frequent=_head(facts["frequent"]) if "frequent" in facts else None,
            piece_length=Pieces.of(facts).piece_length,
            pieces=pieces,
        )
    except (KeyError, TypeError, ValueError) as error:
        fault = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise XmcpipeError(f"{folder}: model.json can't be read: {fault}", HINT) from error


def require_fitting(
    folder: Path, saved: Mapping[str, tuple[TensorFile, str]], build: Callable[[], nn.Module]
) -> None:
    """Raise XmcpipeError unless the model that `build` returns has the tensors that are `saved`.

    `saved` maps the name of each tensor to its file and its name there. The model is built on the device
    "meta": nothing is allocated.
    """
    config = read_config(folder / "encoder")
    _require_plausible(config, saved, folder)
    try:
        with torch.device("meta"):
            state = build().state_dict()
    except XmcpipeError:
        raise
    except Exception as error:  # transformers and torch raise a dozen kinds for impossible configs
        raise XmcpipeError(
            f"{folder}: no model can be built from its config.json and model.json: {_first_line(error)}", HINT
        ) from error
    if state.keys() != saved.keys():
        unmatched = sorted(state.keys() ^ saved.keys())[0]
        raise XmcpipeError(
            f"{folder}: model.json and model.safetensors don't match: only one of them has {unmatched}",
            "train the model again",
        )
    for name, tensor in state.items():
        file, saved_name = saved[name]
        if list(tensor.shape) != file.shape(saved_name):
            raise XmcpipeError(
                f"{folder}: {name}: expected shape {list(tensor.shape)}, got {file.shape(saved_name)}",
                "train the model again",
            )


def read_config(folder: Path) -> dict[str, Any]:
    """The contents of config.json in `folder`.

    Raises XmcpipeError if it can't be read, and if it wants code of its own to be run.
    """
    try:
        config = read_json_object(folder / "config.json")
    except (OSError, ValueError) as error:
        raise XmcpipeError(f"{folder}: config.json can't be read: {error}", HINT) from error
    require_no_code(config, folder / "config.json")
    return config


def _head(table: Any) -> HeadShape:
    """The shape of a head, each entry checked for its type and size."""
    if not isinstance(table, dict):
        raise TypeError(f"expected a table of the head, got {type(table).__name__}")
    kinds = {"str": str, "bool": bool, "int": int, "float": (int, float)}
    for field in fields(HeadShape):
        value = table.get(field.name, field.default)
        kind: Any = kinds[str(getattr(field.type, "__name__", field.type))]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"expected {field.type} as {field.name} of the head, got {str(value)[:40]!r}")
        if kind is int and field.name != "seed":
            _count(field.name, value)
    head = HeadShape(**table)
    if head.kind not in HEADS or head.dtype not in DTYPES:
        raise ValueError(f"unknown head {head.kind[:40]!r} or dtype {head.dtype[:40]!r}")
    if not head.group or (head.group > 1 and not HEADS[head.kind].is_sparse):
        raise ValueError(f"expected group = 1, or more of a sparse head, got {head.group} of {head.kind!r}")
    return head


def _count(name: str, value: Any, most: int = MOST) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"expected a whole number from 0 to {most} as {name}, got {str(value)[:40]!r}")
    return value


def _require_plausible(
    config: dict[str, Any], saved: Mapping[str, tuple[TensorFile, str]], folder: Path
) -> None:
    """Raise XmcpipeError for numbers of layers and sizes that the tensors on file can't have."""
    total = sum({id(file): file.bytes for file, _ in saved.values()}.values())
    most = max(SMALL, total)
    for key, value in config.items():
        if type(value) is not int:
            continue
        # Each layer has at least one tensor. The lists of labels in a config are made as long as it says.
        limit = len(saved) if "layer" in key else SMALL if key == "num_labels" else most
        if value > limit:
            raise XmcpipeError(
                f"{folder}: {key} = {value} in config.json is more than the model's files can hold "
                f"({len(saved)} tensors, {total:,} bytes)",
                HINT,
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
