"""How new rows are fitted. The defaults were chosen on labels held out of a training (results/growth.md)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FitSettings:
    """Penalties and counts of the fit (see `growing.fit`).

    `feature_penalty` and `word_penalty` multiply half the squared weights of features, in standard deviations
    of the feature, and of words. `assumed_documents` is the least number of training documents that a new
    label is taken to have, among those of the model: it sets how often the label is predicted. `lookalikes`:
    how many documents of the background that resemble a label most are not held against it, in multiples of
    the number of documents that it is taken to have; they may well be its own. `resembling`: how many
    documents of the background stand for those of a label that has a text alone. `seed` draws the background.
    """

    feature_penalty: float = 10.0
    word_penalty: float = 0.1
    assumed_documents: float = 20.0
    lookalikes: float = 1.0
    resembling: int = 5
    seed: int = 0
