"""Lists as programs print them are read where they can be read surely, and refused otherwise."""

from pathlib import Path

import polars as pl
import pytest

from tests.unit.data.tables.contents import Import, csv_text, jsonl
from xmcpipe.data.tables.labels.printed import PrintReader
from xmcpipe.errors import XmcpipeError

LISTS = {"0": ["arts", "law"], "1": ["folk music"], "2": [], "3": ["law", "Smith, J."]}


def cells(*values: str) -> dict[str, str]:
    return dict(zip(LISTS, values, strict=True))


# How a program prints LISTS.
READ = {
    "R": cells('c("arts", "law")', "folk music", "character(0)", 'c("law", "Smith, J.")'),
    "R, of lists": cells('list("arts", "law")', 'list("folk music")', "list()", 'list("law", "Smith, J.")'),
    "R on several lines": cells('c("arts", \n"law")', 'c("folk music")', "NULL", 'c("law", "Smith, J.", NA)'),
    "Postgres": cells("{arts,law}", '{"folk music"}', "{}", '{law,"Smith, J."}'),
    "Postgres with nulls": cells("{arts,law,NULL}", '{"folk music"}', "", '{law,"Smith, J."}'),
    "Julia": cells('["arts", "law"]', '["folk music"]', "String[]", '["law", "Smith, J."]'),
    "Julia, of any": cells('Any["arts", "law"]', 'Any["folk music"]', "Any[]", 'Any["law", "Smith, J."]'),
    "tuples": cells("('arts', 'law')", "('folk music',)", "()", "('law', 'Smith, J.')"),
    "sets": cells("{'arts', 'law'}", "{'folk music'}", "set()", "{'law', 'Smith, J.'}"),
    "frozen sets": cells(
        "frozenset({'arts', 'law'})",
        "frozenset({'folk music'})",
        "frozenset()",
        "frozenset({'law', 'Smith, J.'})",
    ),
    "deques": cells(
        "deque(['arts', 'law'])",
        "deque(['folk music'])",
        "deque([])",
        "deque(['law', 'Smith, J.'], maxlen=9)",
    ),
    "keys": cells(
        "dict_keys(['arts', 'law'])",
        "dict_keys(['folk music'])",
        "dict_keys([])",
        "dict_keys(['law', 'Smith, J.'])",
    ),
    "an Index": cells(
        "Index(['arts', 'law'], dtype='object')",
        "Index(['folk music'], dtype='object')",
        "Index([], dtype='object')",
        "Index(['law', 'Smith, J.'], dtype='object', name='x')",
    ),
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("separator", [None, ","])
def test_printed_lists_are_read(read: Import, kind: str, separator: str | None) -> None:
    options = {} if separator is None else {"label_separator": separator}
    for name, content in (("x.csv", csv_text(READ[kind])), ("x.jsonl", jsonl(READ[kind]))):
        if name == "x.jsonl" and separator is None and "folk music" in READ[kind].values():
            continue  # a string that may be one label or several
        got = read(name, content, **options)
        assert (got.error, got.labels) == ("", {row: sorted(labels) for row, labels in LISTS.items()})
        assert not [line for line in got.warnings if "bracket" in line]


# A comma may be a part of a label here.
REFUSED = {
    "Spark": ["WrappedArray(arts, law)", "WrappedArray(folk music)", "WrappedArray()"],
    "Scala": ["List(arts, law)", "List(folk music)", "List()"],
    "Scala 2.13": ["ArraySeq(arts, law)", "ArraySeq(folk music)"],
    "Java": ["[arts, law]", "[folk music]", "[]"],
    "Java's maps": ["{name=arts, id=3}", "{name=law, id=4}"],
    "braces with another separator": ["{arts;law}", "{law}"],
    "braces with bars": ["{arts|law}", "{law}"],
    "objects": ['{"name": "arts", "id": 3}', '{"name": "law", "id": 4}'],
    "Python's counts": ["Counter({'arts': 2, 'law': 1})", "Counter({'law': 1})"],
    "PHP": ['a:2:{i:0;s:4:"arts";i:1;s:3:"law";}', 'a:1:{i:0;s:3:"law";}'],
    "Ruby": ["%w[arts law]", "%w[law]"],
    "a Series": ["0    arts\n1    law\ndtype: object", "0    law\ndtype: object"],
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("separator", [None, ",", ";"])
def test_printed_lists_that_may_be_misread_are_refused(
    read: Import, kind: str, separator: str | None
) -> None:
    values = dict(enumerate(REFUSED[kind]))
    options = {} if separator is None else {"label_separator": separator}
    error = read("x.csv", csv_text({str(row): value for row, value in values.items()}), **options).error
    assert "list as text" in error or "as a program prints it" in error
    assert "JSON" in error


def test_one_cell_that_is_no_print_is_named(read: Import) -> None:
    values = {"0": "{arts,law}", "1": "{law}", "2": "arts;law"}
    error = read("x.csv", csv_text(values)).error
    assert "got String (set label_separator" in error
    reader = PrintReader(Path("x.csv"), "labels")
    assert reader.read(pl.Series(["{arts,law}", ""]), 0) is not None
    with pytest.raises(
        XmcpipeError, match=r"x.csv, row 4: expected a list as text in 'labels', .* got '\{arts'"
    ):
        reader.read(pl.Series(["{law}", "{arts"]), 2)


# Labels with brackets that are no lists.
NAMES = {
    "braces of a template": ["{name}s", "the {name}", "law"],
    "brackets of kinds": ["[law] contracts", "[art] music", "[law] courts"],
    "functions": ["list(int)", "set(str)", "(unknown)"],
    "calls": ["c(x)", "c(y)", "f(x)"],
    "parentheses": ["(unknown)", "(other)", "(none at all)"],
    "languages": ["C", "C++", "R"],
    "types": ["Vector[int]", "List[str]", "Any"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_with_brackets_are_one_label(read: Import, kind: str) -> None:
    values = dict(enumerate(NAMES[kind]))
    got = read("x.csv", csv_text({str(row): value for row, value in values.items()}), label_separator="none")
    assert (got.error, got.labels) == ("", {str(row): [value] for row, value in values.items()})
    split = read(
        "x.csv", csv_text({str(row): f"{value};z" for row, value in values.items()}), label_separator=";"
    )
    assert (split.error, split.labels) == (
        "",
        {str(row): sorted([value, "z"]) for row, value in values.items()},
    )


@pytest.mark.parametrize(
    "value", ["{arts,law}", 'c("arts", "law")', "WrappedArray(arts, law)", "[arts, law]"]
)
def test_prints_are_one_label_if_the_user_says_so(read: Import, value: str) -> None:
    got = read("x.csv", csv_text({"0": value, "1": value}), label_separator="none")
    assert (got.error, got.labels) == ("", {"0": [value], "1": [value]})
