"""`tokenize` with max_pieces: long documents are cut as the library of the encoder cuts them."""

from itertools import chain
from pathlib import Path

import pytest

from tests.unit.stages.tokenize.world import documents, lists, run, write_raw
from xmcpipe.data.shards.files import Shards
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.text_encoding import TextEncoder
from xmcpipe.pieces import Pieces
from xmcpipe.stages.tokenize import TokenizeConfig


@pytest.mark.parametrize(("most", "stride"), [(1, 0), (2, 0), (3, 2), (50, 5)])
def test_a_document_is_its_pieces_end_to_end(tmp_path: Path, encoder: Path, most: int, stride: int) -> None:
    from transformers import AutoTokenizer

    train = [*documents(12), (" ".join(f"w{number % 40}" for number in range(70)), [0]), ("", [1])]
    raw = write_raw(tmp_path / "raw", train, ["w1", "w2 " * 30, "", "w3"])
    config = TokenizeConfig(str(encoder), max_length=9, max_pieces=most, stride=stride)
    figures, _ = run(config, raw, tmp_path / "out")

    tokenizer, expected, cut = AutoTokenizer.from_pretrained(encoder), [], 0
    for text, _ in train:
        pieces = tokenizer(
            text, truncation=True, max_length=9, stride=stride, return_overflowing_tokens=True
        )["input_ids"]
        assert {len(piece) for piece in pieces[:-1]} <= {9}
        expected.append(list(chain(*pieces[:most])))
        cut += len(pieces) > most
    split = Shards(tmp_path / "out", "train")
    assert lists(split.tokens) == expected
    assert figures["train"]["truncated"] == round(cut / len(train), 4)
    assert figures["train"]["max"] == max(map(len, expected))

    # New text is cut in the same way, by the tokenizer that is saved with the shards.
    texts = TextEncoder(tmp_path / "out" / "tokenizer", Pieces(9, most, stride))
    tokens = texts.encode([text for text, _ in train])
    assert tokens.lengths.tolist() == [len(ids) for ids in expected]


def test_a_stride_that_leaves_no_new_token_is_an_error(tmp_path: Path, encoder: Path) -> None:
    raw = write_raw(tmp_path / "raw", documents(2), ["w1"])
    config = TokenizeConfig(str(encoder), max_length=9, max_pieces=2, stride=7)
    with pytest.raises(XmcpipeError, match=r"expected tokenize\.stride < 7 .*, got 7"):
        run(config, raw, tmp_path / "out")
