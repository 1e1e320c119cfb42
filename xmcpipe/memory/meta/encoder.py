"""The encoders of a plan: those of transformers (BERT, RoBERTa, DistilBERT), without importing transformers.

Importing transformers takes longer than planning. A plan needs no weights, only which tensors an encoder of
this config allocates, when, and how long they live. So these modules call the same operators in the same
order as those of transformers 5 (`models/*/modeling_*.py`), and a test compares every number of a plan.
Other encoders, and configs with settings that aren't known here, are built by transformers.

B rows, S tokens, E width, H heads.
"""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmcpipe.memory.meta.encoder_config import EncoderConfig


class PlannedEncoder(nn.Module):
    """An encoder as `config` says. `config.hidden_size` is E, as in a model of transformers."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.layer = nn.ModuleList([_Layer(config) for _ in range(config.layers)])
        self.pooler = _Pooler(config.hidden_size) if config.kind != "distilbert" else None

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        """The last hidden state [B, S, E], and what the pooler makes of it."""
        # Names stay bound as in transformers: what a name holds is in memory.
        embedded_BSE = self.embeddings(input_ids)
        attention_mask = _mask(embedded_BSE, attention_mask)
        hidden_BSE = self._layers(embedded_BSE, attention_mask)
        pooled_BE = None if self.pooler is None else self.pooler(hidden_BSE)
        return SimpleNamespace(last_hidden_state=hidden_BSE, pooler_output=pooled_BE)

    def _layers(self, hidden_BSE: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layer:
            hidden_BSE = layer(hidden_BSE, mask)
        return hidden_BSE


class _Embeddings(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.kind, width, positions = config.kind, config.hidden_size, config.max_position_embeddings
        self.padding = config.pad_token_id
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=self.padding)
        self.position_embeddings = nn.Embedding(positions, width)
        if self.kind != "distilbert":
            self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
            self.token_type_ids = nn.Buffer(torch.zeros((1, positions), dtype=torch.long), persistent=False)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.position_ids = nn.Buffer(torch.arange(positions).expand((1, -1)), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        rows, length = input_ids.shape
        if self.kind == "roberta":
            places = _places(input_ids, self.padding or 0)
        else:
            places = self.position_ids[:, :length]
        if self.kind == "distilbert":
            words = self.word_embeddings(input_ids)
            positions = self.position_embeddings(places)
            embedded = words + positions
        else:
            types = torch.gather(self.token_type_ids.expand(places.shape[0], -1), dim=1, index=places)
            types = types.expand(rows, length)
            words = self.word_embeddings(input_ids)
            of_type = self.token_type_embeddings(types)
            embedded = words + of_type
            positions = self.position_embeddings(places)
            embedded = embedded + positions
        embedded = self.norm(embedded)
        embedded = self.dropout(embedded)
        normed: Tensor = embedded
        return normed


class _Layer(nn.Module):
    """Attention and feed-forward network, each with a residual connection and a LayerNorm after it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention = _Attention(config)
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward = _FeedForward(config)
        self.output_norm = nn.LayerNorm(width)

    def forward(self, hidden_BSE: Tensor, mask: Tensor) -> Tensor:
        attended_BSE = self.attention(hidden_BSE, mask)
        attended_BSE = self.attention_norm(attended_BSE + hidden_BSE)
        fed_BSE = self.feed_forward(attended_BSE)
        output_BSE: Tensor = self.output_norm(fed_BSE + attended_BSE)
        return output_BSE


class _Attention(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.head_width, self.attention_dropout = width // config.heads, config.attention_dropout
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        # DistilBERT has no dropout here.
        self.dropout = nn.Dropout(config.dropout) if config.kind != "distilbert" else None

    def forward(self, hidden_BSE: Tensor, mask: Tensor) -> Tensor:
        attended_BSE = self._attend(hidden_BSE, mask)
        mixed_BSE: Tensor = self.output(attended_BSE)
        return mixed_BSE if self.dropout is None else self.dropout(mixed_BSE)

    def _attend(self, hidden_BSE: Tensor, mask: Tensor) -> Tensor:
        shape = hidden_BSE.shape[:-1]
        by_head = (*shape, -1, self.head_width)
        query = self.query(hidden_BSE).view(*by_head).transpose(1, 2)
        key = self.key(hidden_BSE).view(*by_head).transpose(1, 2)
        value = self.value(hidden_BSE).view(*by_head).transpose(1, 2)
        attended = _attention(query, key, value, mask, self.attention_dropout, self.head_width**-0.5)
        return attended.reshape(*shape, -1).contiguous()


class _FeedForward(nn.Module):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.intermediate_size)
        self.outer = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_BSE: Tensor) -> Tensor:
        inner = F.gelu(self.inner(hidden_BSE))
        outer = self.outer(inner)
        dropped: Tensor = self.dropout(outer)
        return dropped


class _Pooler(nn.Module):
    """Its result isn't read, but it is computed, and its weights are loaded."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, hidden_BSE: Tensor) -> Tensor:
        first = hidden_BSE[:, 0]
        pooled = self.dense(first)
        return torch.tanh(pooled)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float, scale: float
) -> Tensor:
    attended = F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scale)
    attended = attended.reshape(attended.shape[0], -1, *attended.shape[2:])
    return attended.transpose(1, 2).contiguous()


def _mask(embedded_BSE: Tensor, mask_BS: Tensor) -> Tensor:
    """Which token may see which one, bool [B, 1, S, S]."""
    (rows, length), device = mask_BS.shape, embedded_BSE.device
    padding_BS = mask_BS.to(dtype=torch.bool)
    padding_BS.all().item()  # transformers leaves out a mask without padding
    rows_B = torch.arange(rows, device=device)
    head = torch.arange(1, device=device)
    queries_S = torch.arange(length, device=device) + 0
    keys_S = torch.arange(length, device=device) + 0
    seen = queries_S.new_ones((), dtype=torch.bool)
    seen = seen & (queries_S[None, None, :, None] >= 0)
    seen = seen & padding_BS[rows_B[:, None, None, None], keys_S]
    del head
    return seen


def _places(input_ids: Tensor, padding: int) -> Tensor:
    """The position of each token, after those of padding (RoBERTa)."""
    mask = input_ids.ne(padding).int()
    places = (torch.cumsum(mask, dim=1).type_as(mask) + 0) * mask
    return places.long() + padding
