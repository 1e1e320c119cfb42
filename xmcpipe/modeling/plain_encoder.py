"""BERT, RoBERTa and DistilBERT for prediction, in torch alone.

Importing the encoders of transformers takes three seconds (it imports torch's compiler and its distributed
tensors), which is most of the time that a single prediction takes. These three families are one architecture:
embeddings, then layers of attention and a feed-forward part, each followed by a layer norm (Devlin et al.
2019, Vaswani et al. 2017). The modules have the names that the families have in transformers, so the same
file of weights fits; `modeling.saved` loads any other encoder with transformers.

B rows, S tokens, E width, H heads.
"""

from collections.abc import Collection
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoded(NamedTuple):
    """The result of an encoder, by the name that it has in transformers: float32 [B, S, E]."""

    last_hidden_state: Tensor


@dataclass(frozen=True)
class Family:
    """The names of a family: keys of config.json, and modules of a layer below `layers`.

    `offset`: positions are counted from the id of the padding token plus one, not from 0.
    """

    width: str
    num_layers: str
    num_heads: str
    inner: str
    activation: str
    layers: str
    parts: tuple[str, str, str, str, str, str, str, str]
    offset: bool = False
    pooler: bool = True

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that config.json must have."""
        return (self.width, self.num_layers, self.num_heads, self.inner, self.activation)


_BERT_PARTS = (
    *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
    *("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
)
_DISTILBERT_PARTS = (
    *("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
    *("sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"),
)
_BERT_KEYS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act")
FAMILIES = {
    "bert": Family(*_BERT_KEYS, "encoder.layer", _BERT_PARTS),
    "roberta": Family(*_BERT_KEYS, "encoder.layer", _BERT_PARTS, offset=True),
    "distilbert": Family(
        *("dim", "n_layers", "n_heads", "hidden_dim", "activation"),
        "transformer.layer",
        _DISTILBERT_PARTS,
        pooler=False,
    ),
}


class Layer(NamedTuple):
    """The modules of a layer, in the order of `Family.parts`."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    attended: nn.Module
    attended_norm: nn.Module
    inner: nn.Module
    outer: nn.Module
    norm: nn.Module


class PlainEncoder(nn.Module):
    """An encoder of a `family` with uninitialised weights; `config` is the contents of config.json.

    `layers` are its layers, of `num_heads` attention heads each. Positions are counted from `offset` + 1, not
    for tokens of this id; with None all are counted, from 0.
    """

    def __init__(self, family: Family, config: dict[str, Any]) -> None:
        super().__init__()
        width, epsilon = config[family.width], config.get("layer_norm_eps", 1e-12)
        self.config = SimpleNamespace(hidden_size=width)
        self.num_heads = config[family.num_heads]
        if self.num_heads < 1 or width % self.num_heads:
            raise ValueError(f"expected a number of heads that divides {width}, got {self.num_heads}")
        self.offset = config["pad_token_id"] if family.offset else None
        sizes = {
            "word_embeddings": config["vocab_size"],
            "position_embeddings": config["max_position_embeddings"],
            "token_type_embeddings": config.get("type_vocab_size", 0) if family.pooler else 0,
        }
        for name, size in sizes.items():
            if size:
                _add(self, f"embeddings.{name}", _Embedding(size, width))
        _add(self, "embeddings.LayerNorm", nn.LayerNorm(width, epsilon))
        # Tuples, not modules: each module has its place in the tree, whose names are those of the weights.
        self.layers: list[Layer] = []
        for number in range(config[family.num_layers]):
            layer = _new_layer(width, config[family.inner], epsilon)
            for name, module in zip(family.parts, layer, strict=True):
                _add(self, f"{family.layers}.{number}.{name}", module)
            self.layers.append(layer)
        if family.pooler:
            _add(self, "pooler.dense", _Linear(width, width))  # in the file, but not used

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Encoded:
        """The last hidden state for `input_ids` and `attention_mask`, int64 [B, S]; 0 masks padding."""
        hidden_BSE = self._embedded(input_ids)
        # Attention without a mask is faster. A GPU would have to wait for the answer.
        masked = attention_mask.is_cuda or not bool(attention_mask.all())
        mask_B11S = attention_mask[:, None, None, :].bool() if masked else None
        for layer in self.layers:
            attended_BSE = layer.attended(self._attention(layer, hidden_BSE, mask_B11S))
            hidden_BSE = layer.attended_norm(attended_BSE + hidden_BSE)
            outer_BSE = layer.outer(F.gelu(layer.inner(hidden_BSE)))
            hidden_BSE = layer.norm(outer_BSE + hidden_BSE)
        return Encoded(hidden_BSE)

    def _embedded(self, input_ids: Tensor) -> Tensor:
        embeddings: Any = self.embeddings
        hidden_BSE = embeddings.word_embeddings(input_ids)
        if hasattr(embeddings, "token_type_embeddings"):
            hidden_BSE = hidden_BSE + embeddings.token_type_embeddings.weight[0]
        if self.offset is None:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        else:
            real = input_ids.ne(self.offset).long()
            positions = real.cumsum(1) * real + self.offset
        hidden_BSE = hidden_BSE + embeddings.position_embeddings(positions)
        normed: Tensor = embeddings.LayerNorm(hidden_BSE)
        return normed

    def _attention(self, layer: Layer, hidden_BSE: Tensor, mask_B11S: Tensor | None) -> Tensor:
        batch, tokens, _ = hidden_BSE.shape
        query, key, value = (
            part(hidden_BSE).view(batch, tokens, self.num_heads, -1).transpose(1, 2)
            for part in (layer.query, layer.key, layer.value)
        )
        mixed_BHSE = F.scaled_dot_product_attention(query, key, value, attn_mask=mask_B11S)
        return mixed_BHSE.transpose(1, 2).reshape(batch, tokens, -1)


def plain_encoder(config: dict[str, Any], names: Collection[str]) -> PlainEncoder | None:
    """The encoder that `config` (config.json) describes, without weights; None if it has to be another.

    `names` are those of its tensors on file: an encoder that differs in any detail differs in them too, or in
    a key that is checked here.
    """
    family = FAMILIES.get(config.get("model_type", ""))
    if family is None or any(key not in config for key in family.keys):
        return None
    if config[family.activation] != "gelu" or config.get("position_embedding_type", "absolute") != "absolute":
        return None
    if config.get("is_decoder") or (family.offset and config.get("pad_token_id") is None):
        return None
    encoder = PlainEncoder(family, config)
    return encoder if encoder.state_dict().keys() == set(names) else None


def _new_layer(width: int, inner: int, epsilon: float) -> Layer:
    query, key, value, attended = (_Linear(width, width) for _ in range(4))
    attended_norm, norm = (nn.LayerNorm(width, epsilon) for _ in range(2))
    linear = _Linear(width, inner), _Linear(inner, width)
    return Layer(query, key, value, attended, attended_norm, *linear, norm)


class _Linear(nn.Linear):
    """A linear layer that draws no weights: they are read from a file."""

    def reset_parameters(self) -> None:
        """Leave the weights uninitialised."""


class _Embedding(nn.Embedding):
    """A table of embeddings that draws no weights: they are read from a file."""

    def reset_parameters(self) -> None:
        """Leave the weights uninitialised."""


def _add(root: nn.Module, name: str, module: nn.Module) -> None:
    """Give `module` the dotted `name` below `root`; the modules between are empty."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    root.add_module(last, module)
