"""The quoted rows are those of the papers, and each names its source."""

import pytest

from xmcpipe.data.registry import datasets
from xmcpipe.report.cells import plain
from xmcpipe.report.facts.published import published, titles

ROWS = {  # title: (rows of systems, rows of ablations), as counted in the tables
    "Wiki10-31K": (7, 0),
    "Wiki-500K": (7 + 5, 2),
    "Amazon-670K": (7 + 5, 10 + 12 + 2),
    "Amazon-3M": (7 + 5, 0),
    "LF-AmazonTitles-131K": (9, 0),
    "LF-WikiSeeAlso-320K": (9 + 3, 0),
    "LF-AmazonTitles-1.3M": (3, 0),
}


def test_every_dataset_of_the_tables_has_all_its_rows() -> None:
    assert set(titles()) == set(ROWS)
    for title, (systems, variants) in ROWS.items():
        quoted = published(title)
        assert quoted
        assert (len(quoted.systems), len(quoted.variants)) == (systems, variants)
        assert all(row.source and row.machine and row.method for row in quoted.systems + quoted.variants)
        assert all(0 < value < 100 for row in quoted.systems for value in row.figures.values())
        assert all(row.figures or row.note for row in quoted.systems)


@pytest.mark.parametrize(
    ("dataset", "method", "source", "figures", "memory"),
    [
        ("wiki10_31k", "SPARTEX", "Tables 2, 4", [88.6, 77.7, 67.4, 13.2, 15.1, 16.4], 2.1),
        ("wiki500k", "CascadeXML", "Tables 2, 4", [77.0, 58.3, 45.1, 31.3, 39.4, 43.3], 18.8),
        ("amazon670k", "RigL", "Table 2", [45.2, 38.7, 36.0], 12.4),
        ("amazon670k", "ELMO FP8", "ELMO", [50.34, 44.91, 40.97], 3.55),
        ("amazon3m", "AttentionXML", "Tables 2, 4", [49.1, 46.0, 43.9, 15.5, 18.5, 20.6], 71.2),
        ("amazon3m", "LightXML", "Table 2", [], None),
        ("lf_amazontitles131k", "DEXML", "Table 3", [42.5, 20.6], 30.2),
        ("lf_wikiseealso320k", "SPARTEX", "Table 3", [46.0, 29.9, 22.1], 6.1),
        ("lf_amazontitles1_3m", "Renee", "ELMO", [56.04, 49.91, 45.32], 19.9),
    ],
)
def test_rows_are_as_published(
    dataset: str, method: str, source: str, figures: list[float], memory: float | None
) -> None:
    assert dataset in datasets()
    quoted = published(dataset)
    assert quoted
    row = next(row for row in quoted.systems if row.method == method and source in row.source)
    assert list(row.figures.values()) == figures
    assert row.memory_gib == memory


def test_ablations_are_as_published() -> None:
    quoted = published("amazon670k")
    assert quoted
    by_name = {(row.method, row.source[-1]): row for row in quoted.variants}
    narrow = by_name["SPARTEX, fan-in 32, with auxiliary loss", "5"]
    assert (narrow.figures["P@1"], narrow.memory_gib, narrow.epoch, narrow.inference_ms) == (
        38.4,
        2.61,
        "11:38",
        7.94,
    )
    assert by_name["SPARTEX, fan-in 64, auxiliary loss never cut off", "6"].figures["P@5"] == 14.4
    assert by_name["SPARTEX, fixed embeddings", "7"].figures["P@3"] == 37.1


def test_nothing_is_quoted_for_other_data() -> None:
    assert published("debian") is None
    assert published(None) is None


def test_figures_keep_the_digits_they_were_published_with() -> None:
    assert [plain(value) for value in (88.6, 46.0, 78.69, 3.6, None)] == ["88.6", "46.0", "78.69", "3.6", "–"]
