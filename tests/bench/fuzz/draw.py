"""The choices of one seed of the fuzz: a dataset, and the formats in which its files are written."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.fuzz.world import FORMATS, Side, figures, world, write

LISTS = ("jsonl", "parquet", "csv")


class Draw:
    """A dataset in a folder, and the choices of one seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = np.random.default_rng([seed, 1])
        self.predictions, self.truth, self.trained = world(seed)
        self.folder = folder
        self.names = bool(self.random.random() < 0.3)
        self.right: dict[str, float] | None = figures(*self.files())[0]

    @property
    def right_trained(self) -> dict[str, float]:
        """The figures with training labels."""
        return figures(*self.files(ids=True), write(self.folder / "right.npz", self.trained))[0]

    def one_of(self, formats: tuple[str, ...]) -> str:
        return str(self.random.choice(formats))

    def files(
        self, predictions: Side | None = None, truth: Side | None = None, ids: bool = False
    ) -> tuple[Path, Path]:
        """Both sides as files in a format each; with `ids`, and in matrices, labels are never names."""
        names = self.names and not ids
        formats = [self.one_of(LISTS if names else FORMATS) for _ in range(2)]
        sides = (predictions or self.predictions, truth or self.truth)
        first, second = (
            write(self.folder / f"{role}.{format_}", side, names)
            for role, format_, side in zip(("predictions", "truth"), formats, sides, strict=True)
        )
        return first, second

    def training(self, new: "np.ndarray[Any, Any] | None" = None) -> Path:
        """Training labels as a file of ids; with `new`, label i is new[i]."""
        side = self.trained if new is None else self.trained.renamed(new)
        return write(self.folder / f"training.{self.one_of(FORMATS)}", side)
