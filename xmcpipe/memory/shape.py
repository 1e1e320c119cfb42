"""What the bytes of a training step depend on beside the config."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepShape:
    """L labels, C clusters (0: no auxiliary branch), a batch of B rows x S tokens with P positive pairs."""

    labels: int
    clusters: int
    rows: int
    tokens: int
    positives: int
