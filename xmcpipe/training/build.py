"""Builds the model of a training from its configuration.

Only `model_shape` turns the recipe's tables into a HeadShape.
"""

from dataclasses import replace

import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import encoder as encoders
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.heads.ffi import FFIHead
from xmcpipe.modeling.losses import prior_bias
from xmcpipe.modeling.model import Model, ModelShape, build_model, embedding_size
from xmcpipe.modeling.words import WordKind
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.words.choice import WordChoice
from xmcpipe.training.words.frequent import PIECE_LABELS

SEED_OF_FREQUENT = 0x66726571  # keeps the random numbers of the two heads apart


def model_shape(
    config: TrainConfig,
    embedding: int,
    num_labels: int,
    num_clusters: int,
    word_kind: WordKind = "pairs",
    num_words: int = 0,
) -> ModelShape:
    """The shape of the model of `config`; `embedding` is the width E of the encoder.

    `word_kind` and `num_words` describe the words that a head with `word_fan_in` reads.
    With memory = "light" the weights have the dtype that `precision` names, or 8 bits where
    `head.weight_dtype` says so; otherwise float32.
    """
    dtype = config.precision if config.memory == "light" else "float32"
    width = config.head.intermediate or embedding
    head = _head_shape(config, width, num_labels, dtype)
    return ModelShape(
        head=head,
        pooling=config.encoder.pooling,
        intermediate=config.head.intermediate,
        num_clusters=num_clusters,
        dropout=config.encoder.dropout,
        dtype=dtype,
        checkpointing=config.encoder.checkpointing and not config.encoder.frozen,
        frozen=config.encoder.frozen,
        word_kind=word_kind,
        num_words=num_words,
        frequent=_frequent_shape(config, head, dtype, width) if config.head.frequent_labels else None,
    )


def _head_shape(config: TrainConfig, width: int, num_labels: int, dtype: str) -> HeadShape:
    """The shape of the head of all labels; `width` is the number of features."""
    head = config.head
    return HeadShape(
        kind=head.kind,
        in_features=width - width // 2 if head.features_apart else width,
        num_labels=num_labels,
        fan_in=head.fan_in,
        bias=head.bias,
        init_std=head.init_std,
        seed=config.seed,
        dtype=dtype if head.weight_dtype == "precision" else head.weight_dtype,
        word_fan_in=head.word_fan_in,
        group=head.group,
    )


def _frequent_shape(config: TrainConfig, sparse: HeadShape, dtype: str, width: int) -> HeadShape:
    """The shape of the head of the most frequent labels, beside `sparse`; `width` is the number of features.

    Its labels read every feature, or every one that `sparse` leaves: groups only make the index smaller.
    """
    first = sparse.in_features if config.head.features_apart else 0
    count = config.head.frequent_labels
    if count >= sparse.num_labels:
        raise XmcpipeError(
            f"expected train.head.frequent_labels below the {sparse.num_labels} labels, got {count}",
            "lower train.head.frequent_labels, or leave it out",
        )
    return replace(
        sparse,
        kind="ffi",
        num_labels=count,
        in_features=width - first,
        first_feature=first,
        fan_in=width - first,
        dtype=dtype,  # labels with many documents, and few: 8 bits would save nothing
        init_std=0.0,
        seed=sparse.seed ^ SEED_OF_FREQUENT,
        word_fan_in=config.head.frequent_word_fan_in if config.head.word_fan_in else 0,
        group=1 if sparse.group == 1 else PIECE_LABELS,
    )


def new_model(
    config: TrainConfig,
    encoder_name: str,
    num_tokens: int,
    feed: Feed,
    num_clusters: int,
    device: torch.device | str = "cpu",
    words: WordChoice | None = None,
    order_L: torch.Tensor | None = None,
) -> Model:
    """The initial model of `config` on `device`: a pretrained encoder, and a head drawn from the seed.

    `words` are required if the head reads words, and the order of the labels (`training.initial.grouping`) if
    they form groups. Seeds torch's generator first. `num_tokens` is the size of the vocabulary that the
    shards were tokenized with. Raises XmcpipeError for an encoder that can't be loaded or has fewer than
    `num_tokens` embeddings, and for K > D.
    """
    torch.manual_seed(config.seed)
    encoder = encoders.load(encoder_name)
    encoders.require_vocabulary(encoder, encoder_name, num_tokens)
    embedding, num_labels = embedding_size(encoder), feed.num_labels
    of_words = () if words is None else (words.kind, len(words.vocabulary))
    shape = model_shape(config, embedding, num_labels, num_clusters, *of_words)
    model = build_model(encoder, shape, device, draw=True)
    if order_L is not None:
        assert isinstance(model.head, FFIHead), "HeadTable has checked it"
        model.head.set_order(order_L)
    if model.head.bias is not None and config.head.bias_init == "prior":
        bias_L = prior_bias(config.loss, feed.label_counts, feed.num_documents)
        model.head.bias.data.copy_(model.head.at_places(bias_L))
    if model.frequent is not None:
        model.frequent.take(torch.from_numpy(feed.most_frequent(config.head.frequent_labels)), model.head)
    if words is not None and model.words is not None:
        model.words.set(words.vocabulary.codes, words.vocabulary.idf)
        words.apply(model)
    return model
