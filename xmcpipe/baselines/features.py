"""Features of the linear systems: tf-idf of lower-case words and runs of words, rows of unit length.

A word is a run of letters, digits and underscores, of any length. The weight of a feature that occurs n times
in a document is (1 + ln n) * (ln((1 + N) / (1 + documents with it)) + 1). Features and their idf are counted
on the training split alone.

Legend: N training documents · M test documents · V features.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import Bar, progress

WORD = r"(?u)\b\w+\b"


def tfidf(documents: Documents, config: BaselineConfig) -> tuple[Any, Any]:
    """The features of both splits: CSR float32 [N, V] of train and [M, V] of test, rows of unit length.

    The row of a document without a known feature is empty. Raises XmcpipeError if no feature remains.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        lowercase=True,
        token_pattern=WORD,
        ngram_range=(1, config.ngrams),
        min_df=config.min_df,
        max_features=config.max_features or None,
        sublinear_tf=True,
        norm="l2",
        dtype=np.float32,
    )
    total = documents.num_train + documents.num_test
    with progress("features", total, "documents", scale=True) as bar:
        try:
            train = vectorizer.fit_transform(_counted(documents.train_texts(), bar))
        except ValueError as error:  # scikit-learn has no class for a vocabulary without words
            raise XmcpipeError(
                f"expected words that occur in at least {config.min_df} training documents, got none",
                "lower baseline.min_df, for example --set baseline.min_df=1",
            ) from error
        test = vectorizer.transform(_counted(documents.test_texts(), bar))
    return train, test


def _counted(texts: Iterator[str], bar: Bar) -> Iterator[str]:
    for text in texts:
        yield text
        bar.update()
