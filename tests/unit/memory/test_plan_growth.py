"""What growth adds to a plan: kept batches, and what it looks up of every document."""

from dataclasses import replace
from pathlib import Path

from tests.encoders import HIDDEN
from tests.unit.memory.test_plan import LIGHT, SHAPE, configure
from xmcpipe.memory.parts import KEPT
from xmcpipe.memory.plan import plan
from xmcpipe.modeling.encoder import from_config


def test_growth_keeps_batches_on_the_device_and_features_of_documents_on_the_host(tiny_encoder: Path) -> None:
    settings = {**LIGHT, "max_steps": 0, "rewire.interval": 10, "rewire.window": 7}
    plans = {
        growth: plan(
            configure(**settings, **{"rewire.growth": growth}),
            lambda: from_config(str(tiny_encoder)),
            SHAPE,
            "cuda",
            1000,
        )
        for growth in ("random", "gradient", "documents")
    }
    kept = 7 * 32 * HIDDEN * 2 + 7 * 96 * 8
    assert KEPT not in plans["random"].part_peaks
    assert plans["gradient"].part_peaks[KEPT] == plans["documents"].part_peaks[KEPT] == kept
    assert plans["documents"].host == {
        **plans["gradient"].host,
        "features of documents": 1000 * HIDDEN * 2,
        "labels of documents": 1000 * 3 * 8,
    }


def test_words_that_are_chosen_again_are_kept_on_the_host(tiny_encoder: Path) -> None:
    shape = replace(SHAPE, words=200, terms=12.5)
    plans = {
        growth: plan(
            configure(
                **LIGHT,
                **{"rewire.interval": 2, "rewire.word_growth": growth, "head.word_fan_in": 8},
            ),
            lambda: from_config(str(tiny_encoder)),
            shape,
            "cpu",
            1_000_000,
        )
        for growth in ("none", "documents")
    }
    more = plans["documents"].host.keys() - plans["none"].host.keys()
    assert more == {"features of documents", "labels of documents", "words of documents"}
    assert plans["documents"].host["words of documents"] == 1_000_000 * 12.5 * 6
    assert plans["documents"].part_peaks["rewiring"] > plans["none"].part_peaks["rewiring"]
    for part, size in plans["none"].part_peaks.items():
        assert part == "rewiring" or plans["documents"].part_peaks[part] == size, part


def test_the_growth_of_frequent_labels_is_counted(tiny_encoder: Path) -> None:
    shape = replace(SHAPE, words=200, terms=12.5)
    head = {"head.word_fan_in": 8, "head.frequent_word_fan_in": 100}
    peaks, floors = [], []
    for count in (0, 100):
        config = configure(**LIGHT, **{"rewire.interval": 2, "head.frequent_labels": count, **head})
        planned = plan(config, lambda: from_config(str(tiny_encoder)), shape, "cpu", 1000)
        peaks.append(planned.part_peaks["rewiring"])
        floors.append(planned.floor.bytes)
    assert peaks[1] >= 5 * 4 * 65_535 * 64 + 4 * 1000 * 12.5  # matrices of all words, and the documents
    assert peaks[1] > peaks[0]
    assert floors[1] - floors[0] > 100 * (2 * 100 + HIDDEN * 2)
