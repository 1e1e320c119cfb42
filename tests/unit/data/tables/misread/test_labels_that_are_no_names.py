"""Labels that a separator, a spreadsheet, a web page or a keyboard left as something else than names."""

import json
from pathlib import Path

import pytest

from tests.unit.data.tables.contents import NAMES, TRUTH, Import, csv_text, jsonl, sorted_

TABLE = csv_text({row: ";".join(labels) for row, labels in TRUTH.items()})


def _warned(read: Import, labels: dict[str, str], separator: str, part: str) -> bool:
    return any(part in line for line in read("x.csv", csv_text(labels), label_separator=separator).warnings)


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ("alpha\u200b", r"'alpha' and 'alpha\u200b'"),
        ("al\u00adpha", r"'alpha' and 'al\xadpha'"),
        ("cafe\u0301", r"'caf\xe9' and 'cafe\u0301'"),
        ("deep\u00a0learning", r"'deep learning' and 'deep\xa0learning'"),
    ],
)
def test_labels_that_look_the_same(read: Import, other: str, part: str) -> None:
    labels = {"0": "alpha;caf\u00e9;deep learning", "1": f"beta;{other}", "2": "beta"}
    assert _warned(read, labels, ";", f"2 labels look like another one, and differ in blanks or invisible "
                   f"characters: {part}")  # fmt: skip


def test_labels_that_differ_in_case(read: Import) -> None:
    labels = {"0": "art;law", "1": "Art;Law", "2": "law"}
    assert _warned(read, labels, ";", "4 of 4 labels differ from another one only in case: 'art' and 'Art'")
    many = {str(row): f"name {row};name" for row in range(40)} | {"40": "Name 3"}
    assert not _warned(read, many, ";", "only in case")  # polish and Polish


@pytest.mark.parametrize("other", ["deep-learning", "deep_learning", "'deep learning'", "DEEP\u2013LEARNING"])
def test_labels_that_are_spelt_in_two_ways(read: Import, other: str) -> None:
    labels = {"0": "deep learning;law", "1": f"art;{other}", "2": "law"}
    part = f"2 of 4 labels are spelt otherwise than another one: 'deep learning' and {other!a}"
    assert _warned(read, labels, ";", part)
    many = {str(row): f"name {row};name" for row in range(40)} | {"40": "name-3"}
    assert not _warned(read, many, ";", "spelt otherwise")


def test_characters_as_web_pages_write_them(read: Import) -> None:
    labels = {"0": "food &amp; drink;art", "1": "art;law", "2": "food &amp; drink"}
    assert _warned(read, labels, ";", "with characters as HTML writes them: 'food &amp'")
    assert not _warned(read, {"0": "R&D;AT&T", "1": "AT&T;law"}, ";", "HTML")


def test_numbers_that_a_spreadsheet_rounded(read: Import) -> None:
    labels = {"0": "1.23457E+12;7", "1": "7;8", "2": "8"}
    assert _warned(
        read,
        labels,
        ";",
        "1 label in the form of rounded numbers, as a spreadsheet shows them: '1.23457E+12'",
    )


def test_words_between_labels(read: Import) -> None:
    labels = {"0": "art and law", "1": "law and art", "2": "art"}
    assert _warned(
        read, labels, " ", "1 label of symbols alone, or of a word such as 'and': 'and': check the label sep"
    )


def test_numbers_and_prefixes_before_labels(read: Import) -> None:
    numbered = {"0": "1. art;2. law", "1": "1. law"}
    assert _warned(read, numbered, ";", "3 of 3 labels begin with a number: '1. art', '2. law', '1. law'")
    prefixed = {"0": "__label__art;__label__law", "1": "__label__law"}
    assert _warned(read, prefixed, ";", "2 labels with fastText's prefix: '__label__art'")
    brackets = {"0": "<http://x/1>;<http://x/2>", "1": "<http://x/2>"}
    assert _warned(read, brackets, ";", "2 labels in angle brackets: '<http://x/1>'")


def test_punctuation_at_the_end(read: Import) -> None:
    ended = {"0": "art; law.", "1": "law; art.", "2": "Inc.; art"}
    part = "4 labels differ from another one only in punctuation at the end: 'art' and 'art.'"
    assert _warned(read, ended, ";", part)


def test_lists_that_are_filled_up_to_one_length(read: Import) -> None:
    named = {row: [*names, "none", "none", "none"][:4] for row, names in TRUTH.items()}
    warnings = read("x.jsonl", jsonl(named)).warnings
    assert any("24 of 24 documents have the label 'none': does it fill lists" in line for line in warnings)
    assert any("24 of 24 documents have a label more than once" in line for line in warnings)
    numbers = {row: [*(str(NAMES.index(name) + 1) for name in names), "-1"] for row, names in TRUTH.items()}
    warnings = read("x.jsonl", jsonl(numbers)).warnings
    assert any("1 label below zero: '-1'" in line for line in warnings)
    numbers = {row: [*labels, "-1", "-1"][:4] for row, labels in numbers.items()}
    assert "are all 4 numbers long and repeat values" in read("x.jsonl", jsonl(numbers)).error


@pytest.mark.parametrize(("no", "yes"), [("no", "yes"), ("F", "T"), ("n", "y"), ("NO", "YES")])
def test_vectors_of_words_for_no_and_yes(read: Import, no: str, yes: str) -> None:
    lists = {row: [yes if name in names else no for name in NAMES] for row, names in TRUTH.items()}
    assert "they hold only words for no and yes" in read("x.jsonl", jsonl(lists)).error
    got = read("x.jsonl", jsonl(lists), multi_hot=True)
    assert got.labels == {
        row: sorted(str(NAMES.index(name)) for name in names) for row, names in TRUTH.items()
    }


def test_one_word_for_yes_alone_is_a_name(read: Import) -> None:
    assert read("x.jsonl", jsonl({"0": ["y", "y"], "1": ["y"]})).labels == {"0": ["y"], "1": ["y"]}


def test_a_weight_in_parentheses_is_refused(read: Import) -> None:
    text = csv_text({row: ";".join(f"{label} (0.75)" for label in labels) for row, labels in TRUTH.items()})
    assert "end with a value (:), such as" in read("x.csv", text, label_separator=";").error
    assert not _warned(read, {"0": "Python (3.7);a", "1": "a;b"}, ";", "value")


def test_two_separators_in_one_column(read: Import) -> None:
    labels = {"0": "a;b", "1": "a,b", "2": "b,c", "3": "b;c"}
    assert _warned(
        read, labels, ";", "has ';' between labels in some rows, such as 'a;b', and perhaps ',' in"
    )
    # Names with a comma, of which the parts are no labels.
    names = {"0": "Smith, John;Doe, Jane", "1": "Smith, Jane;Doe, Jane", "2": "law;Smith, John"}
    assert not read("x.csv", csv_text(names), label_separator=";").warnings


@pytest.mark.parametrize("other", [",", ", ", "|", " / ", "\t", "\n"])
def test_labels_that_stand_only_in_rows_of_another_separator(read: Import, other: str) -> None:
    """No label comes back: only the text between them tells."""
    rows = {str(row): f"one{row};two{row}" for row in range(6)}
    rows |= {str(row): f"one{row}{other}two{row}" for row in range(6, 12)}
    shown = {"\t": r"'\t'", "\n": r"$'\n'", " / ": "' / '"}.get(other, repr(other.strip()))
    assert _warned(
        read, rows, ";", f"between labels in some rows, such as 'one0;two0', and perhaps {shown} in"
    )


@pytest.mark.parametrize(
    ("two", "one"),
    [
        ("Doe, J.{0};Roe, R.{0}", "Poe, E.{0}"),  # names of people
        ("art {0};law {0}", "Congo {0}, Republic of the|"),  # not most of the single labels
        ("war and peace {0};law {0}", "crime and law {0}"),
        ("and/or {0};law {0}", "he/she {0}"),
    ],
)
def test_names_that_hold_another_separator(read: Import, two: str, one: str) -> None:
    rows = {str(row): two.format(row) for row in range(6)}
    single = "plain {0}" if one.endswith("|") else one
    rows |= {str(row): (one.rstrip("|") if row == 7 else single).format(row) for row in range(6, 12)}
    assert not _warned(read, rows, ";", "between labels in some rows")


@pytest.mark.parametrize("between", [",", "; "])
def test_libmultilabel_with_another_separator(read: Import, between: str) -> None:
    lines = "".join(f"{between.join(labels)}\tnote {row} about\n" for row, labels in TRUTH.items())
    got = read("x.txt", lines, format="libmultilabel")
    assert any(repr(between.strip()) in line for line in (*got.warnings, got.error))


def test_lists_of_one_string_with_commas_in_it(read: Import) -> None:
    rows = "".join(
        f'{{"text": "note {row}", "labels": ["{pair}"]}}\n'
        for row, pair in enumerate(("a, b", "b, c", "c, a", "a, c", "b, a"))
    )
    assert any("holds one string, but 5 have ','" in line for line in read("x.jsonl", rows).warnings)
    names = "".join(
        f'{{"text": "note {row}", "labels": ["{name}"]}}\n'
        for row, name in enumerate(("Smith, John", "Doe, Jane", "Roe, Richard", "law"))
    )
    assert not read("x.jsonl", names).warnings


def test_a_plain_table_has_no_warnings(read: Import) -> None:
    got = read("x.csv", TABLE, label_separator=";")
    assert (got.labels, got.warnings) == (sorted_(TRUTH), [])


@pytest.mark.parametrize("sign", ["=", ":"])
def test_vectors_by_name_are_refused(read: Import, sign: str) -> None:
    text = {
        row: ";".join(f"{name}{sign}{int(name in names)}" for name in NAMES) for row, names in TRUTH.items()
    }
    error = read("x.csv", csv_text(text), label_separator=";").error
    assert "labels end with 0 or 1, such as" in error
    assert error.endswith("(write only the names of the labels whose value is 1)")


@pytest.mark.parametrize("weight", [" (87%)", "^0.9", "=0.25"])
def test_other_weights_are_refused(read: Import, weight: str) -> None:
    text = {row: ";".join(name + weight for name in names) for row, names in TRUTH.items()}
    assert "end with a value (:), such as" in read("x.csv", csv_text(text), label_separator=";").error


def test_numbers_with_zeros_before_them(read: Import) -> None:
    labels = {"0": "03;5", "1": "3;05", "2": "5"}
    assert _warned(read, labels, ";", "numbers that differ only in zeros before them: '03' and '3'")


def test_one_label_alone(read: Import) -> None:
    same = dict.fromkeys(TRUTH, "news")
    assert _warned(read, same, ";", "'news' is the only label, of 24 of 24 documents")


def test_training_labels_from_1_and_test_labels_from_0(read: Import, tmp_path: Path) -> None:
    numbers = [[row % 5, (row + 2) % 5] for row in range(12)]
    rows = [{"text": f"other {row}", "labels": labels} for row, labels in enumerate(numbers)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train = {str(row): [label + 1 for label in labels] for row, labels in enumerate(numbers)}
    got = read("x.jsonl", jsonl(train), test=str(tmp_path / "test.jsonl"))
    part = "labels of the training documents are 1 to 5, those of the test documents 0 to 4: is one of them"
    assert any(part in line for line in got.warnings)


def test_a_table_that_begins_one_later(read: Import, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "label,text\n" + "".join(f"{row},name {row}\n" for row in range(1, 50))
    )
    numbers = {str(row): [str(row % 5), str((row + 2) % 5)] for row in range(12)}
    got = read("x.jsonl", jsonl(numbers), label_table=str(tmp_path / "labels.csv"))
    part = "labels of the documents are 0 to 4, those of the label table 1 to 49: is one of them counted"
    assert any(part in line for line in got.warnings)


@pytest.mark.parametrize("word", [r"\N", "(blank)"])
def test_missing_values_of_databases_and_spreadsheets(read: Import, word: str) -> None:
    labels = {"0": "a;b", "1": "b;c", "2": word}
    assert _warned(read, labels, ";", f"1 label in the form of a missing value: {word!r}")


def test_a_typed_line_break_is_one(read: Import) -> None:
    labels = {row: "\n".join(names) for row, names in TRUTH.items()}
    assert read("x.csv", csv_text(labels), label_separator=r"\n").labels == sorted_(TRUTH)


@pytest.mark.parametrize(
    ("between", "option"), [(" and ", "' and '"), (" & ", "' & '"), (" \u00b7 ", "' \u00b7 '")]
)
def test_the_separator_that_is_meant_is_named(read: Import, between: str, option: str) -> None:
    labels = {"0": between.join("ab"), "1": between.join("bc"), "2": between.join("ca"), "3": "a", "4": "b"}
    assert _warned(read, labels, ",", f"set --label-separator {option}")
    assert f"here perhaps {option}" in read("x.csv", csv_text(labels)).error


def test_lists_of_names_are_no_vectors(read: Import) -> None:
    error = read("x.jsonl", jsonl(TRUTH), multi_hot=True).error
    assert "row 1: expected 0 or 1 in 'labels', got 'alpha'" in error
