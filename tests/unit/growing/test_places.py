"""Places and features of new labels, against a plain computation; groups share what they read."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from xmcpipe.growing.documents import Documents
from xmcpipe.growing.fit import Problem
from xmcpipe.growing.places import choose_places
from xmcpipe.modeling.heads import Head, HeadShape, build

DOCUMENTS, FEATURES, FAN_IN = 60, 12, 3


def problem_of(seed: int) -> Problem:
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(DOCUMENTS, FEATURES)))
    words = sparse.csr_matrix((DOCUMENTS, 0), dtype=np.float32)
    keys = tuple(bytes([row]) for row in range(DOCUMENTS))
    return Problem.of(Documents(features.float(), features.float(), words, keys), DOCUMENTS, 500, "bce")


def positives_of(count: int, seed: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Documents of each label; a document may have several labels."""
    random = np.random.default_rng(seed)
    return [
        np.sort(random.choice(DOCUMENTS, random.integers(1, 6), replace=False)).astype(np.int64)
        for _ in range(count)
    ]


def head_of(num_labels: int, group: int, seed: int) -> Head:
    torch.manual_seed(seed)
    head = build(HeadShape("ffi", FEATURES, num_labels, FAN_IN, bias=True, seed=seed, group=group), "cpu")
    head.reset_parameters()
    return head


def best_features(problem: Problem, rows: list[int]) -> list[int]:
    """The K features in which the mean of some rows, which may repeat, is farthest from that of all."""
    everything = problem.documents.features_nW.double().numpy()
    mean = np.mean([everything[row] for row in rows], axis=0)
    distance = np.abs(mean - everything.mean(0)) / everything.std(0)
    return sorted(sorted(range(FEATURES), key=lambda each: -distance[each])[:FAN_IN])


@given(
    old=st.integers(1, 9), count=st.integers(1, 11), group=st.sampled_from([1, 2, 4]), seed=st.integers(0, 99)
)
def test_groups_of_new_labels_read_what_their_documents_say(
    old: int, count: int, group: int, seed: int
) -> None:
    problem, positives, head = problem_of(seed), positives_of(count, seed), head_of(old, group, seed)
    order, features = choose_places(problem, positives, head, seed)
    assert sorted(order.tolist()) == list(range(count))
    free = 0 if group == 1 else min(-old % group, count)
    for label in order[:free]:
        assert features[label].tolist() == head.index[-1].tolist()
    for begin in range(free, count, group):
        members = order[begin : begin + group].tolist()
        rows = [row for label in members for row in positives[label].tolist()]
        expected = best_features(problem, rows)
        assert [features[label].tolist() for label in members] == [expected] * len(members)


def test_a_free_slot_goes_to_the_label_that_its_features_tell_apart() -> None:
    problem, head = problem_of(3), head_of(5, 2, 3)
    slot = head.index[-1].long()
    features = problem.documents.features_nW
    extreme = np.sort(features[:, slot].abs().sum(1).argsort(descending=True)[:2].numpy())
    calm = np.sort(features[:, slot].abs().sum(1).argsort()[:2].numpy())
    order, _ = choose_places(problem, [calm, extreme, calm], head, 0)
    assert order[0] == 1


def test_similar_labels_are_a_group() -> None:
    """Of four labels, two each have the documents of one side."""
    problem, head = problem_of(1), head_of(4, 2, 1)
    by_first = problem.documents.features_nW[:, 0].argsort().numpy()
    low, high = by_first[:12], by_first[-12:]
    positives = [np.sort(rows) for rows in (low[:6], high[:6], low[6:], high[6:])]
    order, _ = choose_places(problem, positives, head, 0)
    assert {frozenset(order[:2].tolist()), frozenset(order[2:].tolist())} == {
        frozenset({0, 2}),
        frozenset({1, 3}),
    }
