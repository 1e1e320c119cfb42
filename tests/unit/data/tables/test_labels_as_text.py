"""Labels in text: lists that were saved so, and separators."""

import json
from collections.abc import Callable

import pytest

from tests.unit.data.tables.contents import Import, csv_text, jsonl, sorted_
from xmcpipe.data.tables import lines

LIST_TEXTS: dict[str, Callable[[list[str]], str]] = {
    "python": str,
    "json": json.dumps,
    "tuple": lambda names: str(tuple(names)),
    "set": lambda names: "{" + ", ".join(map(repr, names)) + "}",
    "numpy": lambda names: "[" + " ".join(map(repr, names)) + "]",
    "numpy on two lines": lambda names: "[" + "\n ".join(map(repr, names)) + "]",
    "numpy 2": lambda names: "[" + ", ".join(f"np.str_({name!r})" for name in names) + "]",
    "frozenset": lambda names: f"frozenset({{{', '.join(map(repr, names))}}})",
    "array": lambda names: f"array({names}, dtype=object)",
}


@pytest.mark.parametrize("size", [1 << 23, 20])
@pytest.mark.parametrize("separator", [None, ",", ";"])
@pytest.mark.parametrize("kind", LIST_TEXTS)
def test_lists_saved_as_text(
    read: Import, monkeypatch: pytest.MonkeyPatch, kind: str, separator: str | None, size: int
) -> None:
    monkeypatch.setattr(lines, "BLOCK_CHARACTERS", size)
    truth = {"0": ["it's", 'a "b", c'], "1": ["[x]"], "2": ["it's", "[x]"], "3": ["plain"]}
    text = csv_text({row: LIST_TEXTS[kind](names) for row, names in truth.items()})
    got = read("x.csv", text, **({} if separator is None else {"label_separator": separator}))
    assert got.error == ""
    assert got.labels == sorted_(truth)
    assert any("holds lists saved as text" in line for line in got.log)


def test_empty_lists_and_one_text_that_is_cut(read: Import) -> None:
    empty = csv_text({"0": "{'a'}", "1": "set()", "2": "", "3": "[]"})
    assert read("x.csv", empty).labels == {"0": ["a"], "1": [], "2": [], "3": []}
    cut = csv_text({"0": "['a']", "1": "['b', 'c']", "2": "['a', 'b"})
    for options in ({}, {"label_separator": ","}):
        assert "row 3: expected a list as text" in read("x.csv", cut, **options).error


def test_list_text_that_is_no_list(read: Import) -> None:
    bare = csv_text({"0": "[a, b]", "1": "[b]"})
    assert (
        "expected a list as text in 'labels', such as ['a', 'b'], got '[a, b]'" in read("x.csv", bare).error
    )
    error = read("x.csv", bare, label_separator=",").error
    assert (
        "in column 'labels', got in all rows a collection as a program prints it, such as '[a, b]'" in error
    )
    assert "got '[0 1 ... 0]'" in read("x.csv", csv_text({"0": "[0 1 ... 0]", "1": "[1 0 ... 0]"})).error
    later = csv_text({"0": "['a']", "1": "b"})
    warned = read("x.csv", later, label_separator=",")
    assert "1 of 2 labels begin or end with a bracket or quote: \"['a']\"" in warned.warnings[-1]


VALUES = {"0": "a{}b", "1": "b{}c", "2": "a", "3": "c"}


@pytest.mark.parametrize("other", [";", "|", "\t"])
def test_a_separator_that_no_value_has_is_refused(read: Import, other: str) -> None:
    text = csv_text({row: value.format(other) for row, value in VALUES.items()})
    error = read("x.csv", text, label_separator=",").error
    shown = r"\t" if other == "\t" else other
    assert "no value in column 'labels' has the separator ','" in error
    assert f"2 have '{shown}', such as 'a" in error
    assert f"--label-separator '{shown}'" in error
    lists = jsonl({row: [value.format(other)] for row, value in VALUES.items()})
    assert "each list in column 'labels' holds one string" in read("x.jsonl", lists).error


def test_a_separator_that_names_may_hold_is_warned_about(read: Import) -> None:
    got = read(
        "x.csv", csv_text({row: each.format(", ") for row, each in VALUES.items()}), label_separator=";"
    )
    assert (
        "no value in column 'labels' has the separator ';', but 2 have ',', such as 'a, b'" in got.warnings[0]
    )
    single = read("x.csv", csv_text({"0": "a", "1": "b"}), label_separator=";")
    assert (
        "no value in column 'labels' has the separator ';': each is one label, such as 'a'"
        in single.warnings[0]
    )


def test_text_without_a_separator_names_the_likely_one(read: Import) -> None:
    for other, shown in (("; ", "';'"), (", ", "','"), ("\t", r"'\t'")):
        error = read("x.csv", csv_text({row: each.format(other) for row, each in VALUES.items()})).error
        assert f"(--label-separator) to the text between two labels, here perhaps {shown}" in error
    assert "such as ';'" in read("x.csv", csv_text({"0": "a", "1": "b"})).error


def test_a_typed_tab_is_a_tab(read: Import) -> None:
    text = csv_text({row: value.format("\t") for row, value in VALUES.items()})
    got = read("x.csv", text, label_separator="\\t")
    assert got.labels == {"0": ["a", "b"], "1": ["b", "c"], "2": ["a"], "3": ["c"]}
    assert any(r"is read as '\t'" in line for line in got.log)
    typed = read("x.csv", csv_text({"0": r"a\tb;c", "1": "c;d"}), label_separator=";")
    assert r"1 label with \t or \n as two characters" in typed.warnings[0]


def test_relevance_is_refused_outside_of_pecos(read: Import) -> None:
    for text, what in (("2::2.0,3::1.0", "::"), ("2:1.0,3:1.0", ":")):
        error = read("x.csv", csv_text({"0": text, "1": text}), label_separator=",").error
        assert f"2 of 2 labels end with a {'relevance' if what == '::' else 'value'} ({what})" in error


def test_swapped_columns_are_warned_about(read: Import) -> None:
    text = "text,labels\n" + "".join(f"a;b,the note {row} is about it and that\n" for row in range(10))
    got = read("x.csv", text, label_separator=" ")
    assert "documents have 10 words and 80 labels of 80 words, such as 'the'" in got.warnings[0]
    prose = read("x.csv", text, label_separator=";")
    assert any("has the separator ';'" in line for line in prose.warnings)


def test_a_symbol_between_blanks_is_guessed_before_the_blank(read: Import) -> None:
    slashed = csv_text({"0": "a / b", "1": "b / c", "2": "a"})
    assert "here perhaps ' / '" in read("x.csv", slashed).error
    assert "here perhaps '/'" in read("x.csv", csv_text({"0": "a/b", "1": "b/c"})).error
    named = csv_text({"0": "art - modern; music", "1": "music; art - old"})
    assert "here perhaps ';'" in read("x.csv", named).error
    got = read("x.csv", slashed, label_separator=" ")
    assert any("1 label of symbols alone, or of a word such as 'and': '/'" in line for line in got.warnings)
    assert not read("x.csv", slashed, label_separator=" / ").warnings


def test_whole_numbers_between_separators_lose_the_point(read: Import) -> None:
    got = read("x.csv", csv_text({"0": "10.0, 11.0", "1": "11.0", "2": ""}), label_separator=",")
    assert got.labels == {"0": ["10", "11"], "1": ["11"], "2": []}
    assert any("10.0 is read as 10" in line for line in got.log)
    versions = read("x.csv", csv_text({"0": "2.0 2.5", "1": "3.0"}), label_separator=" ")
    assert versions.labels == {"0": ["2.0", "2.5"], "1": ["3.0"]}


@pytest.mark.parametrize("text", ["art:0.5 food:0.25", "art:1 food:1", "a:.5 b:1.0"])
def test_names_with_weights_are_refused(read: Import, text: str) -> None:
    error = read("x.csv", csv_text({"0": text, "1": text}), label_separator=" ").error
    assert "2 of 2 labels end with a value (:), such as 'a" in error


@pytest.mark.parametrize(("first", "last"), ["<>", "()", "{}", "[]"])
def test_labels_in_brackets_are_separated_by_brackets(read: Import, first: str, last: str) -> None:
    """<python><pandas>: the tags of Stack Exchange."""
    cells = ["c#|.net", "python", "", "c++|python|a>b"]
    rows = [first + cell.replace("|", last + first) + last if cell else "" for cell in cells]
    content = "text,labels\n" + "".join(f"note {row},{cell}\n" for row, cell in enumerate(rows))
    got = read("x.csv", content, label_separator=last + first)
    assert got.labels == {str(row): sorted(cell.split("|")) if cell else [] for row, cell in enumerate(cells)}


def test_the_separator_of_tags_is_guessed(read: Import) -> None:
    content = "text,labels\n" + "".join(f"note {row},<a><b{row % 3}>\n" for row in range(9))
    assert "here perhaps '><'" in read("x.csv", content).error
    warned = read("x.csv", content, label_separator=";").warnings
    assert any("have '><', such as '<a><b0>'" in line for line in warned)
