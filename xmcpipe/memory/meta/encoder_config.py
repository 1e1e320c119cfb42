"""What the config.json of a BERT, RoBERTa or DistilBERT says, read without importing transformers."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xmcpipe.json_file import read_json_object
from xmcpipe.modeling.encoder import KNOWN, locate

TRANSFORMERS = "5."  # the version whose encoders `meta.encoder` follows

# By model type: transformers' name of each field in config.json, and its default.
_BERT: dict[str, tuple[str, Any]] = {
    "vocab_size": ("vocab_size", 30_522),
    "hidden_size": ("hidden_size", 768),
    "layers": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "intermediate_size": ("intermediate_size", 3072),
    "max_position_embeddings": ("max_position_embeddings", 512),
    "type_vocab_size": ("type_vocab_size", 2),
    "pad_token_id": ("pad_token_id", 0),
    "dropout": ("hidden_dropout_prob", 0.1),
    "attention_dropout": ("attention_probs_dropout_prob", 0.1),
    "activation": ("hidden_act", "gelu"),
}
_FIELDS: dict[str, dict[str, tuple[str, Any]]] = {
    "bert": _BERT,
    "roberta": {**_BERT, "vocab_size": ("vocab_size", 50_265), "pad_token_id": ("pad_token_id", 1)},
    "distilbert": {
        **_BERT,
        "hidden_size": ("dim", 768),
        "layers": ("n_layers", 6),
        "heads": ("n_heads", 12),
        "intermediate_size": ("hidden_dim", 3072),
        "dropout": ("dropout", 0.1),
        "attention_dropout": ("attention_dropout", 0.1),
        "activation": ("activation", "gelu"),
    },
}
# What else changes the computation, with the value that doesn't.
_PLAIN: dict[str, Any] = {
    "is_decoder": False,
    "add_cross_attention": False,
    "chunk_size_feed_forward": 0,
    "position_embedding_type": "absolute",
    "attn_implementation": None,
    "_attn_implementation": None,
    "quantization_config": None,
    "auto_map": None,
    "sinusoidal_pos_embds": False,
}
_ALIASES = {"distilbert": ("hidden_size", "num_attention_heads", "num_hidden_layers")}  # its `attribute_map`


@dataclass(frozen=True)
class EncoderConfig:
    """The sizes of an encoder of `kind` "bert", "roberta" or "distilbert"; dropout rates from 0 to 1."""

    kind: str
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    pad_token_id: int | None
    dropout: float
    attention_dropout: float


def read_config(name: str) -> EncoderConfig | None:
    """The config of the encoder called `name`; None if transformers has to read it, or to say what is wrong.

    Raises XmcpipeError for a folder or package that doesn't exist.
    """
    try:
        if not version("transformers").startswith(TRANSFORMERS):
            return None
    except PackageNotFoundError:
        return None
    if name in KNOWN:
        kind, different = KNOWN[name]
        return known_config({"model_type": kind, **different})
    path = Path(locate(name)) / "config.json"
    try:
        return known_config(read_json_object(path))
    except (OSError, ValueError):
        return None


def known_config(table: Mapping[str, Any]) -> EncoderConfig | None:
    """The config in the JSON object of a config.json; None for a model or a setting that isn't known here."""
    kind = table.get("model_type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        return None
    if any(table.get(name, plain) != plain for name, plain in _PLAIN.items()):
        return None
    if any(name in table for name in _ALIASES.get(kind, ())):
        return None
    values = {field: table.get(name, default) for field, (name, default) in _FIELDS[kind].items()}
    if values.pop("activation") != "gelu":
        return None
    config = EncoderConfig(kind, **values)
    return config if _is_sound(config) else None


def _is_sound(config: EncoderConfig) -> bool:
    """Whether each value has its type and range; transformers says what is wrong with those of others."""
    sizes = (
        config.vocab_size,
        config.hidden_size,
        config.layers,
        config.heads,
        config.intermediate_size,
        config.max_position_embeddings,
        config.type_vocab_size,
    )
    rates, padding = (config.dropout, config.attention_dropout), config.pad_token_id
    return (
        all(type(size) is int and size > 0 for size in sizes)
        and all(type(rate) in (int, float) and 0 <= rate < 1 for rate in rates)
        and (padding is None or (type(padding) is int and 0 <= padding < config.vocab_size))
        and config.hidden_size % config.heads == 0
    )
