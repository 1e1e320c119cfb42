"""How new rows are fitted. Defaults are those of the recipe table [grow]; results/growth.md explains them."""

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

    feature_penalty: float
    word_penalty: float
    assumed_documents: float
    lookalikes: float
    resembling: int
    seed: int
