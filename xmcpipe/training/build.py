"""From shards and a configuration to a model ready to train."""

import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import encoder as encoders
from xmcpipe.modeling import heads
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.losses import prior_bias
from xmcpipe.modeling.model import Model, embedding_size
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed


def build_model(
    config: TrainConfig,
    encoder_name: str,
    num_tokens: int,
    feed: Feed,
    num_clusters: int,
    device: torch.device | str = "cpu",
) -> Model:
    """The model of `config` on `device`, its head drawn from the seed; torch's generator is seeded first.

    With memory = "light" weights are of the dtype that `precision` names. `num_tokens` is the size of the
    vocabulary that the shards were tokenized with. Raises XmcpipeError for an encoder that can't be found or
    embeds fewer tokens than that, and for K > D.
    """
    torch.manual_seed(config.seed)
    encoder = encoders.load(encoder_name)
    num_embeddings = encoder.get_input_embeddings().num_embeddings
    if num_tokens > num_embeddings:
        raise XmcpipeError(
            f"the shards use {num_tokens} tokens, encoder {encoder_name!r} has {num_embeddings}",
            "set tokenize.encoder to the encoder that is trained",
        )
    if config.encoder.checkpointing:
        encoders.recompute_activations(encoder)
    dtype = config.precision if config.memory == "light" else "float32"
    shape = HeadShape(
        kind=config.head.kind,
        in_features=config.head.intermediate or embedding_size(encoder),
        num_labels=feed.num_labels,
        fan_in=config.head.fan_in,
        bias=config.head.bias,
        init_std=config.head.init_std,
        seed=config.seed,
        dtype=dtype,
    )
    head = heads.build(shape, device)
    head.reset_parameters()
    if head.bias is not None and config.head.bias_init == "prior":
        head.bias.data.copy_(prior_bias(config.loss, feed.label_counts, feed.num_documents))
    pooling, dropout = config.encoder.pooling, config.encoder.dropout
    model = Model(encoder, pooling, dropout, config.head.intermediate, head, num_clusters)
    for part in (model.encoder, model.intermediate, model.auxiliary):  # not the head: its bias is float32
        if part is not None:
            part.to(heads.DTYPES[dtype])
    return model.to(device)
