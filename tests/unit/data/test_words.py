"""The words of texts: terms, their weights as in scikit-learn, and the columns of shards."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from xmcpipe.data.shards.files import Shards, ShardWriter, shard_path
from xmcpipe.data.terms import MAX_COUNT, document_terms, named_terms
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.errors import XmcpipeError

TEXTS = [
    "The Shipwreck, the shipwreck off Hastings",
    "Joseph Mallord William Turner",
    "",
    "turner: the fighting Temeraire; lib_foo-2.0",
    "北斎 the wave",
    "naïve Ünïcode naïve",
]


def vocabulary_of(texts: list[str], pairs: bool) -> WordVocabulary:
    """All terms of the texts."""
    terms = document_terms(texts, pairs)
    codes, documents = np.unique(terms.codes, return_counts=True)
    return WordVocabulary.counted(codes, documents, len(texts))


@pytest.mark.parametrize("pairs", [False, True])
def test_the_weights_are_those_of_scikit_learn(pairs: bool) -> None:
    pattern = r"(?u)[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+"
    golden = TfidfVectorizer(
        token_pattern=pattern, ngram_range=(1, 2 if pairs else 1), sublinear_tf=True, smooth_idf=False
    )
    expected = golden.fit_transform(TEXTS)
    names = golden.get_feature_names_out()
    vocabulary = vocabulary_of(TEXTS, pairs)
    assert len(vocabulary) == len(names)
    found = vocabulary.weigh(document_terms(TEXTS, pairs))
    for row, text in enumerate(TEXTS):
        spelled, mine = named_terms(text, pairs), found.rows == row
        got = {
            spelled[int(vocabulary.codes[word])]: value
            for word, value in zip(found.ids[mine], found.values[mine], strict=True)
        }
        theirs = {
            names[at]: value for at, value in zip(expected[row].indices, expected[row].data, strict=True)
        }
        assert got == pytest.approx(theirs, rel=1e-5)


@given(st.lists(st.text(max_size=40), max_size=6), st.booleans())
def test_the_terms_of_a_document_do_not_depend_on_the_others(texts: list[str], pairs: bool) -> None:
    together, begin = document_terms(texts, pairs), 0
    assert together.lengths.sum() == len(together.codes) == len(together.counts)
    for text, length in zip(texts, together.lengths, strict=True):
        alone = document_terms([text], pairs)
        here = slice(begin, begin + length)
        assert np.array_equal(alone.codes, together.codes[here])
        assert np.array_equal(alone.counts, together.counts[here])
        assert bool((np.diff(alone.codes.astype(np.int64)) > 0).all())
        assert set(named_terms(text, pairs)) == set(alone.codes.tolist())
        begin += length


def test_a_count_stops_at_its_maximum() -> None:
    assert document_terms(["a " * 1000], pairs=False).counts.tolist() == [MAX_COUNT]


def test_words_that_the_vocabulary_lacks_are_left_out() -> None:
    vocabulary = vocabulary_of(["one two"], pairs=False)
    found = vocabulary.weigh(document_terms(["one three", "three"], pairs=False))
    assert found.rows.tolist() == [0]
    assert found.values.tolist() == [1.0]
    empty = vocabulary.kept(np.empty(0, np.int64)).weigh(document_terms(["one"], pairs=False))
    assert len(empty.ids) == 0


def _write(folder: Path, has_terms: bool, texts: list[str]) -> None:
    lists = pa.array([[row] for row in range(len(texts))], pa.list_(pa.int32()))
    with ShardWriter(shard_path(folder, "train", 0), has_terms) as shard:
        terms = document_terms(texts, pairs=True) if has_terms else None
        shard.write(pa.array([str(row) for row in range(len(texts))]), lists, lists, terms)


def test_shards_with_terms_and_without_are_both_read(tmp_path: Path) -> None:
    for name, has_terms in (("old", False), ("new", True)):
        (tmp_path / name).mkdir()
        _write(tmp_path / name, has_terms, TEXTS)
    old, new = (Shards(tmp_path / name, "train") for name in ("old", "new"))
    assert (old.has_terms, new.has_terms) == (False, True)
    rows = np.array([3, 0])
    expected = document_terms([TEXTS[3], TEXTS[0]], pairs=True)
    got = new.terms(rows)
    for name in ("codes", "counts", "lengths"):
        part, wanted = getattr(got, name), getattr(expected, name)
        assert np.array_equal(part, wanted)
        assert part.dtype == wanted.dtype
    assert np.array_equal(old.tokens.gather(rows)[0], new.tokens.gather(rows)[0])
    assert old.terms_per_document == 0.0
    assert new.terms_per_document == pytest.approx(document_terms(TEXTS, pairs=True).lengths.mean())


def test_a_shard_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    path = shard_path(tmp_path, "train", 0)
    schema = pa.schema([("id", pa.string())], metadata={"xmcpipe.shards": "9"})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema):
        pass
    with pytest.raises(XmcpipeError, match="expected shard format 1 or 2, got 9"):
        Shards(tmp_path, "train")
