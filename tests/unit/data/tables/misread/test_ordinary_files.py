"""Files that look odd to a check, and are right: they have no warning."""

import json

import pytest

from tests.unit.data.tables.contents import Import, csv_text

# Labels of documents, in turn.
LABELS: dict[str, list[list[str]]] = {
    "a root of a taxonomy": [["Root", "art"], ["Root", "law"], ["Root", "food"]],
    "ratios": [["16:9", "wide"], ["4:3"], ["21:9", "wide"]],
    "names with commas": [["Korea, South"], ["Japan"], ["Congo, Republic"]],
    "countries": [["NA", "US"], ["FR", "DE"], ["DE", "US"]],
    "sentiments": [["-1"], ["0"], ["1"]],
    "decades": [["'90s music", "band"], ["rock"], ["rock", "band"]],
    "hierarchies": [["Art > Music"], ["Art > Music > Jazz", "Art"], ["Law"]],
    "yes and no": [["Yes"], ["No"], ["Yes"]],
    "years": [["1999", "2001"], ["2001"], ["1999"]],
}
OWN_TEXTS: dict[str, tuple[str, list[list[str]]]] = {
    "Chinese": ("\u5065\u5eb7\u7684\u751f\u6d3b\u65b9\u5f0f", [["\u5065\u5eb7"], ["\u6587\u5316"]]),
    "Thai": ("\u0e2a\u0e38\u0e02\u0e20\u0e32\u0e1e", [["\u0e2a\u0e38\u0e02"], ["\u0e14\u0e35"]]),
    "short queries": ("query", [["red shoes", "hats"], ["blue hats"], ["old coats", "red shoes"]]),
}  # fmt: skip
KINDS = {name: ("a note about number ", labels) for name, labels in LABELS.items()} | OWN_TEXTS


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_files_have_no_warning(read: Import, kind: str) -> None:
    text, labels = KINDS[kind]
    documents = [(f"{text}{row}", labels[row % len(labels)]) for row in range(12)]
    rows = "".join(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in documents)
    got = read("x.jsonl", rows)
    assert (got.error, got.warnings) == ("", [])
    separated = csv_text({str(row): ";".join(names) for row, (_, names) in enumerate(documents)})
    warnings = read("x.csv", separated, label_separator=";").warnings
    # A separator that no row has is always said.
    assert [line for line in warnings if "each is one label, such as" not in line] == []
