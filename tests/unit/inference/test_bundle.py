"""Texts are labelled in any batches alike, in their own order."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_models import LABELS
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.bundle import Bundle
from xmcpipe.inference.selection import Selection
from xmcpipe.inference.text_encoding import TextEncoder
from xmcpipe.modeling.encoder import load_tokenizer
from xmcpipe.pieces import Pieces

WORDS = st.lists(st.integers(0, 250).map("word{}".format), max_size=30).map(" ".join)


@settings(max_examples=20)
@given(texts=st.lists(WORDS, min_size=1, max_size=12), batch_size=st.integers(1, 5))
def test_batches_by_length_change_neither_order_nor_scores(
    bundle: Bundle, texts: list[str], batch_size: int
) -> None:
    labels_NK, scores_NK, _ = bundle.top(texts, Selection(LABELS), batch_size)
    for row, text in enumerate(texts):
        labels_1K, scores_1K, _ = bundle.top([text], Selection(LABELS), 1)
        by_label = np.zeros((2, LABELS))
        if text:
            by_label[0, labels_NK[row]], by_label[1, labels_1K[0]] = scores_NK[row], scores_1K[0]
        else:
            assert (labels_NK[row] == -1).all()
        np.testing.assert_allclose(by_label[0], by_label[1], atol=1e-5)
    assert (np.diff(scores_NK, axis=1) <= 0).all()


def test_a_blank_text_has_no_labels_and_the_others_have_names(bundle: Bundle) -> None:
    first, blank, last = bundle.predict(["word1 word2", " \t", "word3"], Selection(2), batch_size=2)
    assert (len(first), blank, len(last)) == (2, [], 2)
    number = int(first[0].label.removeprefix("label "))
    assert first[0].text == (None if number % 2 else f"the text of {number}")
    assert len(next(iter(bundle.predict(["word1"], Selection(100))))) == LABELS


@given(texts=st.lists(st.text(max_size=40) | WORDS, min_size=1, max_size=8))
def test_tokens_are_those_of_the_library_that_made_the_shards(model_folder: Path, texts: list[str]) -> None:
    tokens = TextEncoder(model_folder / "tokenizer", Pieces(16)).encode(texts)
    expected = load_tokenizer(str(model_folder / "tokenizer"))(texts, truncation=True, max_length=16)[
        "input_ids"
    ]
    assert tokens.lengths.tolist() == [len(ids) for ids in expected]
    for row, ids in enumerate(expected):
        assert tokens.batch(np.array([row]))[0].tolist() == [ids]


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match="holds no tokenizer that can be read"):
        TextEncoder(tmp_path, Pieces(16))


def test_a_single_prediction_imports_nothing_slow(model_folder: Path) -> None:
    """Each of these takes a second or more to import, and most of the time of a prediction is imports."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom xmcpipe.inference.bundle import Bundle\n"
        "from xmcpipe.inference.selection import Selection\n"
        "bundle = Bundle.load(Path(sys.argv[1]), precision='bfloat16')\n"
        "assert len(next(iter(bundle.predict(['word1'], Selection(3))))) == 3\n"
        "slow = ['transformers', 'torch._dynamo', 'torch.distributed.tensor', 'numba', 'scipy', 'polars']\n"
        "print([name for name in slow if name in sys.modules])\n"
    )
    call = [sys.executable, "-c", program, str(model_folder)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
