"""What a head begins with where the embeddings of the training documents are known."""

from xmcpipe.data.embeddings import EmbeddingTable
from xmcpipe.modeling.model import Model
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.feed import Feed
from xmcpipe.training.initial.informed import choose_connections
from xmcpipe.training.initial.separating import separate_means


def begin_with_embeddings(
    config: TrainConfig, model: Model, embeddings: EmbeddingTable | None, feed: Feed
) -> None:
    """Choose first connections, then first weights, as the recipe says; nothing without embeddings."""
    if embeddings is None:
        return
    if config.head.topology == "informed":
        choose_connections(model.head, embeddings, feed.shards, feed.train_rows)
    if config.head.weight_init == "means":
        separate_means(model, embeddings, feed.shards, feed.train_rows)
