"""Batches: who is answered together, who is refused, and that each gets the own rows."""

import threading
from concurrent.futures import wait
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.errors import XmcpipeError
from xmcpipe.serving.batching import Batcher, Question, QueueFullError, StoppedError

FIVE, NINE = Question(k=5), Question(k=9)
TIMEOUT = 150


class Predictor:
    """Notes the batches. The first one waits until `gate` is set, so that the others are in the line."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, texts: list[str], question: Question) -> list[Any]:
        self.entered.set()
        assert self.gate.wait(TIMEOUT)
        self.batches.append(texts)
        if "poison" in texts:
            raise ValueError("a fault of one text")
        if question.allow:
            raise XmcpipeError("an unknown label")
        return [(text, question.k) for text in texts]


def started(predictor: Predictor, batch: int = 4, queue: int = 100) -> Batcher:
    """A batcher that is busy with the text "first"."""
    batcher = Batcher(predictor, batch, queue)
    batcher.submit(["first"], FIVE)
    assert predictor.entered.wait(TIMEOUT)
    return batcher


def test_those_that_wait_with_the_same_question_are_answered_together() -> None:
    predictor = Predictor()
    batcher = started(predictor)
    futures = [batcher.submit([name], FIVE) for name in "abc"]
    other = batcher.submit(["x", "y"], NINE)
    large = batcher.submit(list("defgh"), FIVE)
    late = batcher.submit(["i"], FIVE)
    assert batcher.waiting == 11
    predictor.gate.set()
    batcher.close()
    assert predictor.batches == [["first"], ["a", "b", "c", "i"], ["x", "y"], list("defgh")]
    assert [future.result() for future in futures] == [[(name, 5)] for name in "abc"]
    assert other.result() == [("x", 9), ("y", 9)]
    assert late.result() == [("i", 5)]
    assert [text for text, _ in large.result()] == list("defgh")


@given(
    requests=st.lists(
        st.tuples(st.lists(st.text(max_size=3), max_size=6), st.sampled_from([FIVE, NINE])), max_size=12
    ),
    batch=st.integers(1, 5),
)
def test_every_request_gets_the_rows_of_its_texts(
    requests: list[tuple[list[str], Question]], batch: int
) -> None:
    predictor = Predictor()
    batcher = started(predictor, batch)
    futures = [batcher.submit(texts, question) for texts, question in requests]
    predictor.gate.set()
    batcher.close()
    for (texts, question), future in zip(requests, futures, strict=True):
        assert future.result() == [(text, question.k) for text in texts]
    largest = max((len(texts) for texts, _ in requests), default=0)
    assert all(len(each) <= max(batch, largest) for each in predictor.batches)


def test_a_full_queue_refuses_at_once_and_takes_more_when_it_has_room() -> None:
    predictor = Predictor()
    batcher = started(predictor, queue=3)
    batcher.submit(["a", "b"], FIVE)
    with pytest.raises(QueueFullError):
        batcher.submit(["c", "d"], FIVE)
    last = batcher.submit(["c"], FIVE)
    predictor.gate.set()
    assert last.result(TIMEOUT) == [("c", 5)]
    assert batcher.submit(["c", "d"], FIVE).result(TIMEOUT) == [("c", 5), ("d", 5)]
    batcher.close()


def test_a_text_that_fails_fails_alone_and_a_wrong_question_with_its_like() -> None:
    predictor = Predictor()
    batcher = started(predictor)
    good, bad, also_good = (batcher.submit([text], FIVE) for text in ("a", "poison", "b"))
    wrong = [batcher.submit([text], Question(allow=("nope",))) for text in "cd"]
    predictor.gate.set()
    batcher.close()
    assert good.result() == [("a", 5)]
    assert also_good.result() == [("b", 5)]
    with pytest.raises(ValueError, match="a fault of one text"):
        bad.result()
    for future in wrong:
        with pytest.raises(XmcpipeError, match="an unknown label"):
            future.result()


def test_a_wrong_number_of_rows_is_an_error_and_reaches_nobody() -> None:
    batcher = Batcher(lambda texts, question: [], 4, 100)
    with pytest.raises(RuntimeError, match="expected a row for each of 1 texts, got 0"):
        batcher.submit(["a"], FIVE).result(TIMEOUT)
    batcher.close()


def test_a_cancelled_request_takes_no_time() -> None:
    predictor = Predictor()
    batcher = started(predictor)
    gone, stays = batcher.submit(["gone"], NINE), batcher.submit(["stays"], FIVE)
    assert gone.cancel()
    predictor.gate.set()
    batcher.close()
    assert predictor.batches == [["first"], ["stays"]]
    assert stays.result() == [("stays", 5)]


def test_closing_answers_those_that_wait_and_refuses_new_ones() -> None:
    predictor = Predictor()
    batcher = started(predictor)
    waiting = batcher.submit(["a"], FIVE)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while not batcher.closed:
        pass
    with pytest.raises(StoppedError):
        batcher.submit(["b"], FIVE)
    predictor.gate.set()
    closing.join(TIMEOUT)
    assert waiting.result(TIMEOUT) == [("a", 5)]


def test_what_is_observed_are_texts_and_seconds() -> None:
    seen: list[tuple[int, float]] = []
    batcher = Batcher(lambda texts, question: texts, 4, 100, lambda *facts: seen.append(facts))
    wait([batcher.submit(["a", "b"], FIVE)], TIMEOUT)
    batcher.close()
    assert [texts for texts, _ in seen] == [2]
    assert seen[0][1] >= 0
