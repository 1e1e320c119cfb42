"""The rules of "auto": their values for data of every size, and what holds for all of them."""

import pytest

from xmcpipe.errors import XmcpipeError
from xmcpipe.training.auto import rules


@pytest.mark.parametrize(
    ("documents", "expected"),
    [(1, 20), (500, 20), (2_000, 14), (7_600, 10), (41_000, 7), (560_000, 3), (1_700_000, 3)],
)
def test_epochs_fall_with_the_number_of_documents(documents: int, expected: int) -> None:
    assert rules.epochs(documents, "bce", frozen=False) == expected


def test_squared_hinge_gets_about_the_papers_epochs() -> None:
    assert rules.epochs(14_146, "squared_hinge", frozen=False) == 87  # 100 in the paper
    assert rules.epochs(1_779_881, "squared_hinge", frozen=False) == 30  # 50 in the paper


def test_a_frozen_encoder_is_trained_longer() -> None:
    sizes = (500, 19_000, 41_000, 1_700_000)
    assert [rules.epochs(documents, "bce", frozen=True) for documents in sizes] == [30, 24, 20, 10]


def test_labels_with_words_are_trained_as_in_the_recipes() -> None:
    sizes = (500, 5_000, 40_200, 48_200, 1_700_000)
    for frozen in (False, True):
        found = [rules.epochs(documents, "bce", frozen, words=True) for documents in sizes]
        assert found == [11, 6, 4, 3, 3]  # the third and fourth are tate's and debian's


@pytest.mark.parametrize(
    ("features", "labels", "expected"),
    [
        (384, 10, 384),  # few labels: all features
        (384, 2_000, 384),
        (384, 7_273, 144),
        (384, 23_545, 64),  # 83% sparse, as in the recipes
        (768, 31_000, 128),
        (768, 670_091, 128),  # as in the paper
        (768, 2_812_281, 128),
        (4096, 31_000, 128),
        (32, 1_000_000, 16),
        (12, 1_000_000, 12),
    ],
)
def test_fan_in_follows_features_and_labels(features: int, labels: int, expected: int) -> None:
    assert rules.fan_in(features, labels, frozen=False) == expected


@pytest.mark.parametrize("features", [1, 7, 16, 33, 312, 384, 768, 1024, 4096])
@pytest.mark.parametrize("labels", [1, 10, 500, 4_000, 131_073, 2_812_281])
def test_fan_in_is_possible_and_never_grows_with_labels(features: int, labels: int) -> None:
    wide, narrow = (rules.fan_in(features, count, frozen=False) for count in (labels, 2 * labels))
    assert 1 <= narrow <= wide <= features
    assert wide <= rules.fan_in(features, labels, frozen=True) <= features


def test_fan_in_of_a_frozen_encoder() -> None:
    assert [rules.fan_in(384, labels, frozen=True) for labels in (10_617, 23_545, 670_091)] == [384, 176, 64]


@pytest.mark.parametrize(("width", "expected"), [(128, 3e-4), (384, 2e-4), (768, 5e-5), (1024, 2.8e-5)])
def test_the_encoders_rate_falls_with_its_width(width: int, expected: float) -> None:
    assert rules.encoder_lr(width) == pytest.approx(expected)


def test_sgd_has_the_rate_of_the_light_recipes() -> None:
    assert rules.head_lr("sgd", "bce", "mean", 64, 0.0) == pytest.approx(5.0)  # debian-light
    assert rules.head_lr("sgd", "bce", "mean", 128, 0.0) == pytest.approx(10.0)
    assert rules.head_lr("sgd", "bce", "sum", 512, 0.0) == pytest.approx(0.078125)
    assert rules.head_lr("sgd", "bce", "mean", 64, 0.9) == pytest.approx(0.5)
    assert rules.head_lr("adamw", "squared_hinge", "mean", 64, 0.9) == 0.01
    with pytest.raises(XmcpipeError, match="no rule for sgd with the loss squared_hinge"):
        rules.head_lr("sgd", "squared_hinge", "mean", 64, 0.0)


@pytest.mark.parametrize("total", [1, 2, 9, 20, 31, 100, 270, 3_774, 80_000, 2_000_000])
def test_warm_up_rewiring_and_cut_off_fall_into_the_training(total: int) -> None:
    assert 0 <= rules.warmup_steps(total) < total
    interval, last = rules.interval(total, 0.66, fixed=False), int(0.66 * total)
    assert (interval == 0) == (last == 0)
    assert interval <= last
    assert 0.0 < rules.cutoff_epoch(total, 10) < total / 10


def test_the_schedule_of_the_recipes_sizes() -> None:
    assert [rules.warmup_steps(total) for total in (270, 3_774, 80_000)] == [27, 377, 1000]
    assert [rules.interval(total, 0.66, fixed=False) for total in (25, 270, 3_774, 80_000)] == [
        16,
        20,
        155,
        1000,
    ]
    assert rules.interval(3_774, 0.66, fixed=True) == rules.interval(3_774, 0.0, fixed=False) == 0
    assert rules.cutoff_epoch(4 * 110, 110) == 1.0  # that of the quickstart


def test_the_remaining_rules() -> None:
    assert (rules.optimizer("light"), rules.momentum("light")) == ("sgd", 0.0)
    assert (rules.optimizer("paper"), rules.momentum("paper")) == ("adamw", 0.9)
    assert [rules.dropout(epochs, frozen=False) for epochs in (10, 100)] == [0.1, 0.5]
    assert rules.dropout(100, frozen=True) == 0.1
    assert (rules.bias("bce"), rules.bias("squared_hinge")) == (True, False)
    assert (rules.bias_init(True, "bce"), rules.bias_init(True, "squared_hinge")) == ("prior", "zero")
    assert rules.auxiliary_weight(has_clusters=True, frozen=False) == 0.4
    assert rules.auxiliary_weight(has_clusters=True, frozen=True) == 0.0
    assert rules.auxiliary_weight(has_clusters=False, frozen=False) == 0.0
