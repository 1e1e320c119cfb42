"""What a plan predicts. This module imports nothing heavy: plans that were made before are read at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Floor:
    """The least that a classifier step moves and computes.

    `bytes` must move. `flops`: floating-point operations of the connections. `dense_flops`: those of dense
    tiles.
    """

    bytes: int
    flops: int
    dense_flops: int

    def seconds(self, bytes_per_second: float) -> float:
        """The shortest time of a step at this memory bandwidth."""
        return self.bytes / bytes_per_second


@dataclass(frozen=True)
class Plan:
    """The predicted memory of a training.

    `parts`: bytes on the device at the peak. `part_peaks`: the peak of each part alone. `host`: bytes on
    the host in addition to those of any process that imports the same modules. `encoder_flops`: operations of
    a step except those of the classifier; recomputed activations count again.
    """

    memory: str
    device: str
    parts: dict[str, int]
    part_peaks: dict[str, int]
    host: dict[str, int]
    floor: Floor
    encoder_flops: int

    @property
    def total(self) -> int:
        """Peak bytes on the device."""
        return sum(self.parts.values())

    def seconds(self, bytes_per_second: float, flops_per_second: float) -> float:
        """The shortest time of a step at this memory bandwidth and this speed of the encoder."""
        return self.floor.seconds(bytes_per_second) + self.encoder_flops / flops_per_second
