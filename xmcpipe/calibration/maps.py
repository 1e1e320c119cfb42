"""The functions that turn scores into probabilities: each rises with the score.

`Sigmoid` has two numbers. `Curve` connects points by lines. Labels that occur often and labels that occur
rarely can have functions of their own: a `FrequencyMaps` has one for each range of training documents.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Scores = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
SMALLEST = 1e-15  # a probability this near to 0 or 1 is as good as that, and its log odds are finite


class Map(Protocol):
    """A function from scores to probabilities."""

    def __call__(self, scores: Scores) -> Float64s:
        """The probabilities of `scores`, in their shape."""
        ...

    def log_odds(self, scores: Scores) -> Float64s:
        """The logarithms of p / (1 - p) of the probabilities p, finite even where p is almost 0 or 1."""
        ...

    def table(self) -> dict[str, Any]:
        """The numbers of this function, in JSON types; `from_table` reads them."""
        ...


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-(slope * score + intercept))), slope > 0; with 1 and 0 it is the logistic function."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, scores: Scores) -> Float64s:
        found: Float64s = np.exp(-np.logaddexp(0.0, -self.log_odds(scores)))  # without overflow
        return found

    def log_odds(self, scores: Scores) -> Float64s:
        found: Float64s = self.slope * scores.astype(np.float64) + self.intercept
        return found

    def table(self) -> dict[str, Any]:
        return {"slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True)
class Curve:
    """Lines through the points (score, probability), both rising, [n] each; constant outside."""

    scores: Float64s
    probabilities: Float64s

    def __call__(self, scores: Scores) -> Float64s:
        found: Float64s = np.interp(scores.astype(np.float64), self.scores, self.probabilities)
        return found

    def log_odds(self, scores: Scores) -> Float64s:
        inside = np.clip(self(scores), SMALLEST, 1 - SMALLEST)
        found: Float64s = np.log(inside) - np.log1p(-inside)
        return found

    def table(self) -> dict[str, Any]:
        return {"scores": self.scores.tolist(), "probabilities": self.probabilities.tolist()}


def from_table(table: dict[str, Any]) -> Map:
    """The function of these numbers. Raises ValueError unless it rises and gives probabilities."""
    try:
        if "slope" in table:
            slope, intercept = float(table["slope"]), float(table["intercept"])
            if not (0 < slope < np.inf and np.isfinite(intercept)):
                raise ValueError(f"expected a slope above 0 and an intercept, got {slope} and {intercept}")
            return Sigmoid(slope, intercept)
        scores, values = (np.array(table[name], np.float64) for name in ("scores", "probabilities"))
    except (KeyError, TypeError) as error:
        raise ValueError(f"it has no function from scores to probabilities: {error}") from error
    if scores.ndim != 1 or scores.shape != values.shape or not len(scores):
        raise ValueError("expected as many scores as probabilities")
    if not (np.isfinite(scores).all() and np.all(np.diff(scores) > 0)):
        raise ValueError("expected scores that rise")
    if not (values[0] >= 0 and values[-1] <= 1 and np.all(np.diff(values) >= 0)):
        raise ValueError("expected probabilities that don't fall, between 0 and 1")
    return Curve(scores, values)


@dataclass(frozen=True)
class FrequencyMaps:
    """`maps[i]` is that of labels with `least[i]` training documents or more; `least` falls to 0."""

    least: tuple[int, ...]
    maps: tuple[Map, ...]

    def __post_init__(self) -> None:
        falling = all(before > after for before, after in zip(self.least, self.least[1:], strict=False))
        if not self.maps or len(self.least) != len(self.maps) or not falling or self.least[-1] != 0:
            raise ValueError("expected ranges of training documents that end with 0, with a function each")

    def places(self, documents_L: Ints) -> npt.NDArray[np.int8]:
        """Which of the functions each label has, int8 [L], from its number of training documents."""
        return places_of(self.least, documents_L)

    def __call__(self, places: npt.NDArray[np.int8], scores: Scores) -> Float64s:
        """The probabilities of `scores`; `places` has the function of each, in the same shape."""
        return _by_place(self.maps, places, scores)

    def log_odds(self, places: npt.NDArray[np.int8], scores: Scores) -> Float64s:
        """Their log odds, as those of a `Map`."""
        return _by_place([function.log_odds for function in self.maps], places, scores)


def _by_place(
    functions: Sequence[Callable[[Scores], Float64s]], places: npt.NDArray[np.int8], scores: Scores
) -> Float64s:
    found = np.empty(scores.shape)
    for number in np.unique(places).tolist():
        here = places == number
        found[here] = functions[number](scores[here])
    return found


def places_of(least: Sequence[int], documents_L: Ints) -> npt.NDArray[np.int8]:
    """The first range of each label, int8 [L], whose least number of documents it reaches."""
    rising = np.array(least[::-1])
    return (len(least) - np.searchsorted(rising, documents_L, side="right")).astype(np.int8)
