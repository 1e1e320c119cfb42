"""One name in several spellings: alike in Python and in Arrow, and numbers with and without a point."""

import pyarrow as pa
import pytest

from xmcpipe.data.strings.spellings import plain_names, seen_names, without_point
from xmcpipe.lookalikes.spelling import plain

SPELLINGS = {
    "new york": [
        "New York",
        "NEW_YORK",
        "New\u2011York",
        " New\u00a0York\u200b ",
        "\u201cNew York\u201d",
        "<new-york>",
    ],
    "r&d": ["R&amp;D", "R&D", "'R&D'"],
    "don't": ["don\u2019t", "Don&#39;t"],
    "7": ["007", "7.0", "__label__7", "\uff17"],
    "c7": ["c07"],
    "a b c d": ["a-b_c d", "A B C\u2014D"],
    "-1": ["-1", "-01"],
    "a-": ["A-"],
    "i": ["\u0130", "I"],
    "1.0.0": ["1.0.0"],
    "10.05": ["10.05"],
    "": ["", "  ", "\u200b"],
}


@pytest.mark.parametrize("expected", SPELLINGS)
def test_spellings_of_one_name(expected: str) -> None:
    names = SPELLINGS[expected]
    assert [plain(name) for name in names] == [expected] * len(names)
    for kind in (pa.string(), pa.large_string()):
        assert plain_names(pa.array(names, kind)).to_pylist() == [expected] * len(names)


def test_names_as_one_sees_them_keep_their_case_and_signs() -> None:
    names = pa.array(["A\u00adb", " a\u3000 b", "cafe\u0301", "a-b"])
    assert seen_names(names).to_pylist() == ["Ab", "a b", "caf\u00e9", "a-b"]


def test_numbers_lose_their_point_only_together() -> None:
    assert without_point(pa.array(["12.0", " -3.0 ", "10.0"])).to_pylist() == ["12", "-3", "10"]
    for values in (["12.0", "1.5"], ["v1.0"], ["1.0.0"], []):
        assert without_point(pa.array(values, pa.string())).to_pylist() == values
