"""Small layers for the tests of the benchmark."""

import torch

from xmcpipe.benchmark.grid import Shape
from xmcpipe.benchmark.problem import Problem, draw

SMALL = Shape(labels=70, fan_in=6, features=24, batch=5, dtype="float32")


def problem(dtype: str = "float32", seed: int = 0, device: str = "cpu", labels: int = 70) -> Problem:
    """A problem with large updates, as checks use it."""
    shape = Shape(labels, SMALL.fan_in, SMALL.features, SMALL.batch, dtype)
    return draw(shape, torch.device(device), seed, large_steps=True)
