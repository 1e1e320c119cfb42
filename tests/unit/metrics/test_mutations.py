# ruff: noqa: E501  (a slip is a line)
"""Mutation tests: mistakes that people make in these metrics must be caught by the brute force.

A slip replaces a piece of a module's source text; the mutated package is imported next to the real one.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import xmcpipe
import xmcpipe.metrics
from tests.unit.metrics.brute_force import Case, brute_force, cases, of_package
from xmcpipe.errors import XmcpipeError

# The mutated package has a MisreadWarning of its own, which pyproject.toml can't name.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Replacements = Sequence[tuple[str, str]]
CASES = [(case, brute_force(case)) for case in cases(24)]

# name: (module, (old, new), …)
SLIPS: dict[str, tuple[str, *tuple[tuple[str, str], ...]]] = {
    "P divides by k + 1": ("definitions.documents", ("sums.k * sums.documents", "(sums.k + 1) * sums.documents")),
    "P divides by the number of predictions": ("definitions.documents", ('"precision", (FOUND,), lambda sums: ratio(sums[FOUND], sums.k * sums.documents)', '"precision", (FOUND, GIVEN), lambda sums: ratio(sums[FOUND], sums[GIVEN])'), ("\n\nP = ", '\nGIVEN = Term("predicted", lambda batch: np.cumsum(batch.predicted, axis=1))\n\nP = ')),
    "R divides by min(k, number true)": ("definitions.documents", ("batch.found / batch.at_least_one", "batch.found / np.minimum(batch.at_least_one, np.arange(1, batch.hits.shape[1] + 1))")),
    "R leaves out documents without truth": ("definitions.documents", ("(RECALL,), lambda sums: ratio(sums[RECALL], sums.documents)", "(RECALL, ANY), lambda sums: ratio(sums[RECALL], sums[ANY])")),
    "discounts begin at log2(3)": ("terms", ("np.arange(2, k + 2)", "np.arange(3, k + 3)")),
    "the ideal has k hits however many are true": ("terms", ("np.minimum(np.arange(1, len(discounts_K) + 1), sizes_B[:, None])", "np.arange(1, len(discounts_K) + 1) + 0 * sizes_B[:, None]")),
    "the ideal has all true labels beyond k": ("terms", ("reachable[np.minimum(np.arange(1, len(discounts_K) + 1), sizes_B[:, None])]", "reachable[np.minimum(len(discounts_K), sizes_B[:, None]) + 0 * np.arange(len(discounts_K))]")),
    "MRR counts from rank 2": ("definitions.documents", ("np.asarray(first_BK / np.arange(1, hits_BK.shape[1] + 1))", "np.asarray(first_BK / np.arange(2, hits_BK.shape[1] + 2))")),
    "MRR adds every hit": ("definitions.documents", ("np.cumsum(hits_BK, axis=1) == 1", "np.cumsum(hits_BK, axis=1) >= 1")),
    "F1 of a document divides by k": ("definitions.documents", ("np.cumsum(batch.predicted, axis=1)", "np.arange(1, batch.hits.shape[1] + 1)")),
    "hits wants two": ("definitions.documents", ("batch.found > 0", "batch.found > 1")),
    "PSP is a mean of ratios": ("definitions.propensity_scored", ("lambda batch: _sums(_gains(batch))", "lambda batch: _sums(_gains(batch)) / np.maximum(_sums(_best(batch)), 1e-9)"), ("lambda batch: _sums(_best(batch))", "lambda batch: np.ones_like(_best(batch))")),
    "PSnDCG is not divided by the document's ideal": ("definitions.propensity_scored", ("_sums(weights_BK * batch.discounts) / batch.ideal", "_sums(weights_BK * batch.discounts)")),
    "PSnDCG is not normalised": ("definitions.propensity_scored", ("ratio(sums[GAIN_NDCG], sums[BEST_NDCG])", "ratio(sums[GAIN_NDCG], sums.documents)")),
    "PSR is not divided by the number true": ("definitions.propensity_scored", ("_sums(weights_BK) / batch.at_least_one", "_sums(weights_BK)")),
    "raw PSP is not divided by k": ("definitions.propensity_scored", ("sums.k * sums.documents", "sums.documents")),
    "the best PSP is of what was hit": ("evaluation", ("batch.sizes, gains_BK, best_BK)", "batch.sizes, gains_BK, -np.sort(-gains_BK))")),
    "micro P divides by k": ("definitions.micro", ("ratio(sums[FOUND], sums[PREDICTED])", "ratio(sums[FOUND], sums.k * sums.documents)")),
    "micro R divides by documents": ("definitions.micro", ("ratio(sums[FOUND], sums.true_labels)", "ratio(sums[FOUND], sums.documents)")),
    "F1 lacks its factor 2": ("definitions.micro", ("ratio(2 * s", "ratio(1 * s")),
    "a mean of batch means": ("evaluation", ("terms_BC.sum(axis=0)", "terms_BC.mean(axis=0)")),
    "A and B change places": ("propensity", ("(b + 1) ** a", "(a + 1) ** b"), ("(counts + b) ** -a", "(counts + a) ** -b")),
    "C has no - 1": ("propensity", ("(np.log(documents) - 1)", "np.log(documents)")),
    "the logarithm of N is of base 2": ("propensity", ("np.log(documents)", "np.log2(documents)")),
    "the exponent -A has no sign": ("propensity", ("** -a", "** a")),
    "propensities, and not their inverse": ("propensity", ("np.asarray(1 + c * (counts + b) ** -a, np.float64)", "np.asarray(1 / (1 + c * (counts + b) ** -a), np.float64)")),
    "the lightest labels are the best": ("propensity", ("np.argsort(-inverse", "np.argsort(inverse")),
    "n_l is counted in the test": ("api", ("count_labels(trained.indptr, trained.labels, labels)", "count_labels(true.indptr, true.labels, labels)")),
    "N is the number of labels": ("api", ("Training(counts, len(trained), repeated)", "Training(counts, max(labels, 3), repeated)")),
    "N is the number of test documents": ("api", ("Training(counts, len(trained), repeated)", "Training(counts, len(true), repeated)")),
    "a repeated true label counts twice": ("truth", ("if repeated:", "if False:")),
    "(3, 5) equals (5, 3)": (
        "truth",
        ("sought = rows * self.num_labels + labels", "sought = np.minimum(rows, labels) * self.num_labels + np.maximum(rows, labels)"),
        ("keys = np.repeat(np.arange(len(sizes), dtype=np.int64) * num_labels, sizes) + labels", "of = np.repeat(np.arange(len(sizes)), sizes)\n        keys = np.minimum(of, labels) * num_labels + np.maximum(of, labels)"),
    ),
    "no prediction is the last label of the row above": ("truth", (" & (labels >= 0)", "")),
    "an unknown label is the first of the row below": ("truth", (" & (labels < self.num_labels)", "")),
    "ties go to the higher id": ("ranking", ("np.lexsort((labels, falling", "np.lexsort((-labels, falling"), ("labels[:-1] <= labels[1:]", "labels[:-1] >= labels[1:]")),
    "the smallest score is the best": ("ranking", ("else -scores", "else scores"), ("before > after", "before < after")),
    "scores in the order of the file": ("ranking", ("np.all(ordered | ~same)", "True")),
    "the filter comes after the cut": (
        "ranking",
        ("if exclude is not None:", "if False:"),
        ("    _refuse_repeated(top_BK, first)\n    return", "    if exclude is not None:\n        top_BK[exclude.holds(np.arange(len(top_BK))[:, None], top_BK)] = -1\n    return"),
    ),
    "the filter leaves the truth as it is": ("api", ("if excluded is not None:\n", "if False:\n")),
    "the filter is not applied": ("ranking", ("if exclude is not None:", "if False:")),
    "macro F1 of macro P and macro R": ("definitions.labels", ("float((2 * counts.right / (counts.predicted + counts.support)).sum())", "2 * float((counts.right / counts.predicted).sum()) * float((counts.right / counts.support).sum()) / max(float((counts.right / counts.predicted).sum() + (counts.right / counts.support).sum()), 1e-9)")),
    "the macro mean is over labels that were hit": ("labelwise", ("num_labels=max(len(right), 1)", "num_labels=max(len(hit), 1)")),
    "P and R of a label change places": ("definitions.labels", ("counts.right / counts.predicted)", "counts.right / counts.support )"), ("counts.right / counts.support)", "counts.right / counts.predicted)")),
    "tested labels are all labels": ("labelwise", ('"tested": support > 0', '"tested": support >= 0')),
    "trained labels have two documents": ("labelwise", ('"trained": trained > 0', '"trained": trained > 1')),
    "ranks are counted again at each k": ("labelwise", ("            first = k\n", "")),
    "coverage is of what was predicted": ("labelwise", ("right=right[hit]", "right=right[predicted > 0]"), ("predicted=predicted[hit]", "predicted=predicted[predicted > 0]"), ("support=support[hit]", "support=np.maximum(support, 1)[predicted > 0]")),
    "micro P is over labels that were hit": ("labelwise", ("int(predicted.sum())", "int(predicted[hit].sum())")),
    "bins hold as many labels each": ("frequency", ("positives = documents * np.bincount(counts)", "positives = np.bincount(counts)")),
    "the head is the rare end": ("frequency", ("before = total - np.cumsum(positives)", "before = np.cumsum(positives) - positives")),
    "labels that were never in training are the head": ("frequency", ("bin_of_count[0] = bins - 1", "bin_of_count[0] = 0")),
    "a bin's macro is over all its labels": ("frequency", ("tested & (bin_of_label == number)", "(bin_of_label == number)")),
    "a bin's macro is over the tested labels of every bin": ("frequency", ("tested & (bin_of_label == number)", "tested")),
    "a bin's labels are all tested": ("frequency", ("int(np.count_nonzero(support))", "len(support)")),
    "a bin's positives in training are those in the test": ("frequency", ("int(trained.sum())", "int(support.sum())")),
    "a bin's P is not divided by k": ("evaluation", ("Denominators(k * self.reference.documents", "Denominators(self.reference.documents")),
}  # fmt: skip


@contextmanager
def mutated(module: str, replacements: Replacements) -> Iterator[types.ModuleType]:
    """The package xmcpipe.metrics with a piece of one module replaced; the real one is restored afterwards."""
    name = f"xmcpipe.metrics.{module}"
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.origin
    source = Path(spec.origin).read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in source, f"{old!r} no longer occurs in {name}"
        source = source.replace(old, new)
    real = {key: value for key, value in sys.modules.items() if key.startswith("xmcpipe.metrics")}
    for key in real:
        del sys.modules[key]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "meta_path", [_Finder(name, source), *sys.meta_path])
            mutant = importlib.import_module("xmcpipe.metrics")
        for part in ("api", "evaluation"):
            sys.modules[f"xmcpipe.metrics.{part}"].ROWS = 4  # type: ignore[attr-defined]
        yield mutant
    finally:
        for key in [key for key in sys.modules if key.startswith("xmcpipe.metrics")]:
            del sys.modules[key]
        sys.modules.update(real)
        xmcpipe.metrics = real["xmcpipe.metrics"]


class _Finder:
    """Finds one module, with the given source text."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, name: str, *_: object) -> object:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None  # type: ignore[arg-type]

    def create_module(self, _: object) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(self.source, self.name, "exec"), module.__dict__)


def agrees(case: Case, expected: dict[str, float], metrics: types.ModuleType) -> bool:
    try:
        found = of_package(case, metrics)
    except (IndexError, XmcpipeError):  # some slips fail outright
        return False
    return found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_package_itself_agrees_on_every_case() -> None:
    with mutated("terms", ()) as same:
        assert all(agrees(case, expected, same) for case, expected in CASES)


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_slip_is_caught(slip: str) -> None:
    module, *replacements = SLIPS[slip]
    with mutated(module, replacements) as mutant:
        assert not all(agrees(case, expected, mutant) for case, expected in CASES)


BOOTSTRAP_SLIPS: dict[str, tuple[str, *tuple[tuple[str, str], ...]]] = {
    "both tails are cut at 1 - level": ("bootstrap", ("[(1 - level) / 2, (1 + level) / 2]", "[1 - level, level]")),
    "documents are drawn without replacement": ("bootstrap", ("random.integers(0, documents, documents)", "random.permutation(documents)")),
    "half as many documents are drawn": ("bootstrap", ("random.integers(0, documents, documents)", "random.integers(0, documents, documents // 2)")),
    "the last document is never drawn": ("bootstrap", ("random.integers(0, documents, documents)", "random.integers(0, documents - 100, documents)")),
    "the last rounds are skipped": ("bootstrap", ("for row in range(count)", "for row in range(count - 9)"), ("np.empty((block", "np.zeros((block")),  # not whatever is there
    "every system has draws of its own": ("evaluation", ("sums_RC = resampled(both_NC, rounds, seed)", "sums_RC = np.concatenate([resampled(half, rounds, seed + at) for at, half in enumerate(np.hsplit(both_NC, 2))], axis=1)")),
    "p has one side": ("bootstrap", ("2 * (rarer + 1)", "1 * (rarer + 1)")),
    "only gains are significant": ("bootstrap", ("self.p + self.level < 1", "self.p + self.level < 1 and self.low > 0")),
    "every difference is significant": ("bootstrap", ("self.p + self.level < 1", "self.difference != 0")),
    "significance is of another level": ("bootstrap", ("within.high, p, level)", "within.high, p)")),
    "three rounds are significant": ("bootstrap", ("self.p + self.level < 1", "self.low > 0 or self.high < 0")),
    "the difference is second - first": ("bootstrap", ("first, second, first - second", "first, second, second - first")),
    "the interval is that of second - first": ("bootstrap", ("values_R = first_R - second_R", "values_R = second_R - first_R")),
}  # fmt: skip


def bootstrap_is_right(metrics: types.ModuleType) -> bool:
    """Whether intervals and differences match what theory predicts."""

    def system(right: int, first: int = 0) -> Any:
        hits = [[0] if first <= n < first + right else [1] for n in range(400)]
        evaluation: Any = metrics.evaluate(hits, [[0]] * 400, k=(1,))
        return evaluation

    alone = system(120).intervals(rounds=2000)["P@1"]
    half = 1.96 * (0.3 * 0.7 / 400) ** 0.5
    better, worse = system(212), system(200)
    gain, loss = (metrics.compare(*pair, rounds=500)["P@1"] for pair in ((better, worse), (worse, better)))
    none = metrics.compare(system(205), system(200, first=200), rounds=500)["P@1"]
    few = metrics.compare(better, worse, rounds=3)["P@1"]
    strict = metrics.compare(system(204), worse, rounds=500, level=0.99)["P@1"]
    return (
        abs(alone.low - 0.3 + half) < 0.006
        and abs(alone.high - 0.3 - half) < 0.006
        and gain.significant
        and loss.significant
        and abs(gain.difference - 0.03) + abs(loss.difference + 0.03) < 1e-9
        and 0 < gain.low < 0.03 < gain.high < 0.06
        and -0.06 < loss.low < -0.03 < loss.high < 0
        and not none.significant
        and not few.significant
        and few.low > 0
        and 0.01 < strict.p < 0.05
        and not strict.significant
        and none.p > 0.5
        and gain.p < 0.05
    )


def test_the_bootstrap_itself_is_right() -> None:
    assert bootstrap_is_right(xmcpipe.metrics)


@pytest.mark.parametrize("slip", BOOTSTRAP_SLIPS)
def test_a_slip_of_the_bootstrap_is_caught(slip: str) -> None:
    module, *replacements = BOOTSTRAP_SLIPS[slip]
    with mutated(module, replacements) as mutant:
        assert not bootstrap_is_right(mutant)
