# ruff: noqa: E501  (a slip is a line)
"""Slips that people make in these metrics: each, made in the source, must be caught by the brute force.

A slip is a text of a module replaced by another; the mutated package is imported beside the real one.
"""

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import xmcpipe
import xmcpipe.metrics
from tests.unit.metrics.brute_force import Case, brute_force, cases, of_package
from xmcpipe.errors import XmcpipeError

Replacements = Sequence[tuple[str, str]]
CASES = [(case, brute_force(case)) for case in cases(24)]

# name: (module, (old, new), …)
SLIPS: dict[str, tuple[str, *tuple[tuple[str, str], ...]]] = {
    "P divides by k + 1": ("terms", ('"P@{k}": _ratio(s["found"], k * documents)', '"P@{k}": _ratio(s["found"], (k + 1) * documents)')),
    "P divides by the predictions that were given": ("terms", ('"P@{k}": _ratio(s["found"], k * documents)', '"P@{k}": _ratio(s["found"], s["predicted"])')),
    "R divides by min(k, number true)": ("terms", ('"recall": found_BK / true_B1', '"recall": found_BK / np.minimum(true_B1, np.arange(1, hits_BK.shape[1] + 1))')),
    "R leaves out documents without truth": ("terms", ('"R@{k}": _ratio(s["recall"], documents)', '"R@{k}": _ratio(s["recall"], s["any"])')),
    "discounts begin at log2(3)": ("terms", ("np.arange(2, k + 2)", "np.arange(3, k + 3)")),
    "the ideal has k hits however many are true": ("terms", ("np.minimum(np.arange(1, len(discounts_K) + 1), sizes_B[:, None])", "np.arange(1, len(discounts_K) + 1) + 0 * sizes_B[:, None]")),
    "the ideal has all true labels beyond k": ("terms", ("reachable[np.minimum(np.arange(1, len(discounts_K) + 1), sizes_B[:, None])]", "reachable[np.minimum(len(discounts_K), sizes_B[:, None]) + 0 * np.arange(len(discounts_K))]")),
    "MRR counts from rank 2": ("terms", ("np.asarray(first_BK / np.arange(1, hits_BK.shape[1] + 1))", "np.asarray(first_BK / np.arange(2, hits_BK.shape[1] + 2))")),
    "MRR adds every hit": ("terms", ("np.cumsum(hits_BK, axis=1) == 1", "np.cumsum(hits_BK, axis=1) >= 1")),
    "hits wants two": ("terms", ('"any": found_BK > 0', '"any": found_BK > 1')),
    "PSP is a mean of ratios": ("terms", ("        terms_BC = np.empty", '        ranks_BK["gain"] = ranks_BK["gain"] / np.maximum(ranks_BK["best"], 1e-9)\n        ranks_BK["best"] = np.ones_like(found_BK)\n        terms_BC = np.empty')),
    "PSnDCG is not divided by the document's ideal": ("terms", ('np.cumsum(weights_BK * discounts_K, axis=1) / ideal_BK', "np.cumsum(weights_BK * discounts_K, axis=1)")),
    "PSnDCG is not normalised": ("terms", ('_ratio(s["gain_ndcg"], s["best_ndcg"])', '_ratio(s["gain_ndcg"], documents)')),
    "PSR is not divided by the number true": ("terms", ('ranks_BK[f"{name}_recall"] = sums_BK / true_B1', 'ranks_BK[f"{name}_recall"] = sums_BK')),
    "raw PSP is not divided by k": ("terms", ('_ratio(s["gain"], k * documents)', '_ratio(s["gain"], documents)')),
    "the best PSP is of what was hit": ("evaluation", ("batch.sizes, gains_BK, best_BK)", "batch.sizes, gains_BK, -np.sort(-gains_BK))")),
    "micro P divides by k": ("terms", ('"micro_P_all@{k}": _ratio(s["found"], s["predicted"])', '"micro_P_all@{k}": _ratio(s["found"], k * documents)')),
    "micro R divides by documents": ("terms", ('"micro_R_all@{k}": _ratio(s["found"], positives)', '"micro_R_all@{k}": _ratio(s["found"], documents)')),
    "F1 lacks its factor 2": ("terms", ("_ratio(2 * s", "_ratio(1 * s")),
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
        ("wanted = rows * self.num_labels + labels", "wanted = np.minimum(rows, labels) * self.num_labels + np.maximum(rows, labels)"),
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
    "macro F1 of macro P and macro R": ("labelwise", ("float((2 * hits / (given + true)).sum()) / labels", "2 * float((hits / given).sum()) * float((hits / true).sum()) / labels / max(float((hits / given).sum() + (hits / true).sum()), 1e-9)")),
    "the macro mean is over labels that were hit": ("labelwise", ("labels = max(len(right), 1)", "labels = max(len(hit), 1)")),
    "P and R of a label change places": ("labelwise", ("(hits / given)", "(hits / true_)"), ("(hits / true)", "(hits / given)"), ("hits, given, true =", "true_ = support[hit]\n    hits, given, true =")),
    "tested labels are all labels": ("labelwise", ('"tested": support > 0', '"tested": support >= 0')),
    "trained labels have two documents": ("labelwise", ('"trained": trained > 0', '"trained": trained > 1')),
    "ranks are counted again at each k": ("labelwise", ("            first = k\n", "")),
    "coverage is of what was predicted": ("labelwise", ("len(hit) / labels", "np.count_nonzero(predicted) / labels")),
    "micro P is over labels that were hit": ("labelwise", ("int(predicted.sum())", "int(given.sum())")),
    "bins hold as many labels each": ("frequency", ("positives = documents * np.bincount(counts)", "positives = np.bincount(counts)")),
    "the head is the rare end": ("frequency", ("before = total - np.cumsum(positives)", "before = np.cumsum(positives) - positives")),
    "labels that were never in training are the head": ("frequency", ("bin_of_count[0] = bins - 1", "bin_of_count[0] = 0")),
    "a bin's macro is over all its labels": ("frequency", ("tested & (bin_of_label == number)", "(bin_of_label == number)")),
    "a bin's macro is over the tested labels of every bin": ("frequency", ("tested & (bin_of_label == number)", "tested")),
    "a bin's labels are all tested": ("frequency", ("int(np.count_nonzero(support))", "len(support)")),
    "a bin's positives in training are those in the test": ("frequency", ("int(trained.sum())", "int(support.sum())")),
    "a bin's P is not divided by k": ("evaluation", ("k: (k * self.against.documents", "k: (self.against.documents")),
}  # fmt: skip


@contextmanager
def mutated(module: str, replacements: Replacements) -> Iterator[types.ModuleType]:
    """The package xmcpipe.metrics with a text of one module replaced; the real one is back afterwards."""
    name = f"xmcpipe.metrics.{module}"
    spec = importlib.util.find_spec(name)
    assert spec
    assert spec.origin
    source = Path(spec.origin).read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in source, f"{old!r} is not in {name} any more"
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
    """Finds one module, of a given text."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, name: str, *_: object) -> object:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None  # type: ignore[arg-type]

    def create_module(self, _: object) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(self.source, self.name, "exec"), module.__dict__)


def agrees(case: Case, wanted: dict[str, float], metrics: types.ModuleType) -> bool:
    try:
        found = of_package(case, metrics)
    except (IndexError, XmcpipeError):  # some slips can't even count
        return False
    return found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_the_package_itself_agrees_on_every_case() -> None:
    with mutated("terms", ()) as same:
        assert all(agrees(case, wanted, same) for case, wanted in CASES)


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_slip_is_caught(slip: str) -> None:
    module, *replacements = SLIPS[slip]
    with mutated(module, replacements) as mutant:
        assert not all(agrees(case, wanted, mutant) for case, wanted in CASES)


BOOTSTRAP_SLIPS: dict[str, tuple[str, *tuple[tuple[str, str], ...]]] = {
    "both tails are cut at 1 - level": ("bootstrap", ("[(1 - level) / 2, (1 + level) / 2]", "[1 - level, level]")),
    "documents are drawn without replacement": ("bootstrap", ("random.integers(0, documents, documents)", "random.permutation(documents)")),
    "half as many documents are drawn": ("bootstrap", ("random.integers(0, documents, documents)", "random.integers(0, documents, documents // 2)")),
    "the last document is never drawn": ("bootstrap", ("random.integers(0, documents, documents)", "random.integers(0, documents - 100, documents)")),
    "the last rounds are left out": ("bootstrap", ("for row in range(count)", "for row in range(count - 9)"), ("np.empty((block", "np.zeros((block")),  # not whatever is there
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
    """Intervals and differences of which theory says what they are about."""

    def system(right: int, first: int = 0) -> types.ModuleType:
        hits = [[0] if first <= n < first + right else [1] for n in range(400)]
        return metrics.evaluate(hits, [[0]] * 400, k=(1,))

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
