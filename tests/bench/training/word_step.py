"""Times a training step of a layer that reads features and words, against one that reads features alone.

    python -m tests.bench.training.word_step MODEL SHARDS [--labels 131072] [--rounds 15] [--out FILE]

Words are real: those that the labels of a trained MODEL read, whose rows are repeated until there are
`--labels`, and those of documents of its SHARDS, 64 in a step. Weights and features are random. A step is
scores, loss and update, of K 64 and 64 words, of K 128, and of K 64; once with the gradient of the features,
as for an encoder that is trained. All three take turns, and processor time of one thread is taken, so that
other work disturbs the ratios least. Prints medians and ratios.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xmcpipe.data.shards.files import Shards
from xmcpipe.data.word_vocabulary import WordVocabulary
from xmcpipe.modeling.fused import chunked_loss
from xmcpipe.modeling.heads import Head, HeadShape, build
from xmcpipe.modeling.saved import load_model
from xmcpipe.modeling.stepped import HeadSGD, stepped_loss
from xmcpipe.modeling.word_sgd import WordSGD
from xmcpipe.ops.layer import Positives
from xmcpipe.ops.word_layer import BatchWords

FEATURES, BATCH, CHUNK, WORDS = 768, 64, 32768, 64
CASES = {"64 features and 64 words": (64, WORDS), "128 features": (128, 0), "64 features": (64, 0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--labels", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, _ = load_model(options.model)
    layer = model.head.word_layer
    if model.words is None or layer is None or layer.index.shape[1] < WORDS:
        raise SystemExit(f"expected a model whose labels read {WORDS} words or more, got {options.model}")
    rows = torch.arange(options.labels) % len(layer.index)
    index_LW = layer.index.view(torch.int16)[rows, :WORDS].view(torch.uint16)
    batches = list(word_batches(Shards(options.shards, "train"), WordVocabulary(*model.words.arrays())))
    table: dict[str, dict[str, float]] = {}
    for mode in ("paper", "light"):
        steps = {case: step(mode, options.labels, *shape, index_LW) for case, shape in CASES.items()}
        table[mode] = timed(steps, batches, options.rounds)
    both, features, _ = CASES
    ratio = {mode: seconds[both] / seconds[features] for mode, seconds in table.items()}
    sizes = {"labels": options.labels, "batch": BATCH, "features": FEATURES}
    found = {**sizes, "seconds": table, "ratio": ratio}
    text = json.dumps(found, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")


def word_batches(shards: Shards, vocabulary: WordVocabulary, count: int = 8) -> Iterator[BatchWords]:
    """The words of `count` batches of documents drawn at random."""
    random = np.random.default_rng(0)
    for _ in range(count):
        rows = np.sort(random.choice(len(shards.lengths), BATCH, replace=False)).astype(np.int64)
        pairs = vocabulary.weigh(shards.terms(rows))
        found_rows, ids, values = (torch.from_numpy(np.asarray(part)) for part in pairs)
        yield BatchWords.of(ids, values, found_rows, BATCH)


def step(mode: str, labels: int, fan_in: int, words: int, index_LW: Tensor) -> Callable[[BatchWords], object]:
    """A training step on the words of a batch; without words it ignores them."""
    shape = HeadShape("ffi", FEATURES, labels, fan_in, bias=True, word_fan_in=words)
    head = build(shape, "cpu")
    head.reset_parameters()
    if head.word_layer is not None:
        head.word_layer.index.copy_(index_LW)
    random = torch.Generator().manual_seed(1)
    features = torch.randn(BATCH, FEATURES, generator=random, requires_grad=True)
    drawn = torch.unique(torch.randint(BATCH * labels, (BATCH * 5,), generator=random))
    positives = Positives(drawn % BATCH, drawn // BATCH)
    sgd, word_sgd = HeadSGD.of(head, 0.0, 0.0), WordSGD.of(head)
    sgd.rate.fill_(0.01)
    sgd.scale.fill_(1.0)
    word_sgd.begin(1, 15.0)
    if mode == "light":
        head.requires_grad_(False)

    def run(batch: BatchWords) -> None:
        with_words = word_sgd.of_step(head, batch, 1.0)
        if mode == "light":
            loss = stepped_loss(head, features, positives, "bce", 1.0, sgd, CHUNK, with_words)
        else:
            loss = chunked_loss(head, features, positives, "bce", 1.0, CHUNK, with_words)
        torch.autograd.backward(loss)
        if mode == "paper":
            descend(head)

    return run


def descend(head: Head) -> None:
    """Plain SGD of the weights: what an optimizer does is no part of the comparison."""
    with torch.no_grad():
        for parameter in (head.weight, head.bias):
            if parameter is not None and parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.01)
                parameter.grad = None


def timed(
    steps: dict[str, Callable[[BatchWords], object]], batches: list[BatchWords], rounds: int
) -> dict[str, float]:
    """The median processor time of each step, in seconds; one round of all is not counted."""
    seconds: dict[str, list[float]] = {case: [] for case in steps}
    for number in range(rounds + 1):
        for case, run in steps.items():
            begin = time.process_time()
            run(batches[number % len(batches)])
            if number:
                seconds[case].append(time.process_time() - begin)
    return {case: statistics.median(values) for case, values in seconds.items()}


if __name__ == "__main__":
    main()
