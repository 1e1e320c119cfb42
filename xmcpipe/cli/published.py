"""The shapes of public datasets by their published counts, to plan a recipe whose data isn't here yet."""

from collections.abc import Mapping
from typing import Any

from xmcpipe.data.registry import Dataset, datasets
from xmcpipe.memory.shape import DataShape


def published_shape(dataset: Dataset) -> DataShape:
    """The shape of a dataset by its published counts."""
    counts = dataset.versions[0]
    return DataShape(counts.labels, counts.train, positives=dataset.labels_per_document)


def shape_of_download(configs: Mapping[str, Any]) -> DataShape:
    """The published shape of the dataset that a recipe's `configs` download; all unknown for another one."""
    download = configs.get("download")
    dataset = datasets().get(download.dataset) if download else None
    return published_shape(dataset) if dataset else DataShape()
