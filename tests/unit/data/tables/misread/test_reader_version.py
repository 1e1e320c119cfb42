"""A table that is read otherwise than before needs another READER_VERSION, or old artifacts are reused."""

import hashlib
import json
from typing import Any

from tests.unit.data.tables.contents import TRUTH, Import, csv_text, jsonl
from xmcpipe.data.tables.keys import READER_VERSION

JOINED = {row: ";".join(labels) for row, labels in TRUTH.items()}
PRINTED: dict[str, dict[str, str]] = {
    "Python": {row: str(labels) for row, labels in TRUTH.items()},
    "JSON": {row: json.dumps(labels) for row, labels in TRUTH.items()},
    "NumPy": {row: str(labels).replace(",", "") for row, labels in TRUTH.items()},
    "R": {row: f"c({json.dumps(labels)[1:-1]})" for row, labels in TRUTH.items()},
    "Postgres": {row: "{{{}}}".format(",".join(labels)) for row, labels in TRUTH.items()},
    "Spark": {row: f"WrappedArray({', '.join(labels)})" for row, labels in TRUTH.items()},
    "tags": {row: "".join(f"<{label}>" for label in labels) for row, labels in TRUTH.items()},
}
# The names and contents of files, and the options of their import.
FILES: list[tuple[str, str, dict[str, Any]]] = [
    ("x.csv", csv_text(JOINED), {"label_separator": ";"}),
    ("x.csv", csv_text(JOINED), {"label_separator": ","}),
    ("x.csv", csv_text(JOINED), {"label_separator": "none"}),
    ("x.csv", csv_text(JOINED), {}),
    ("x.csv", csv_text(JOINED).replace(",", "\t"), {"label_separator": ";"}),
    ("x.tsv", csv_text(JOINED).replace(",", "\t"), {"label_separator": ";"}),
    ("x.csv", "# a comment\n" + csv_text(JOINED), {"label_separator": ";"}),
    ("x.csv", csv_text(JOINED) + "# a comment,\n", {"label_separator": ";"}),
    ("x.csv", "text,labels\n,\n" + csv_text(JOINED)[13:], {"label_separator": ";"}),
    ("x.csv", csv_text(JOINED).replace("labels", "labels\r\nstring,list", 1), {"label_separator": ";"}),
    ("x.csv", ",text,labels\n,first,list\n0,a note,art\n1,a tale,law\n", {"label_separator": ";"}),
    ("x.csv", csv_text(JOINED), {"label_separator": ";", "header": False, "text": ["1"], "labels": "2"}),
    ("x.jsonl", jsonl(TRUTH), {}),
    ("x.jsonl", jsonl(JOINED), {"label_separator": ";"}),
    ("x.json", "[" + jsonl(TRUTH).strip().replace("\n", ",") + "]", {}),
    ("x.txt", "".join(f"__label__{labels} a note\n" for labels in JOINED.values()), {}),
    (
        "x.txt",
        "".join(f"{' '.join(labels)}\ta note\n" for labels in TRUTH.values()),
        {"format": "libmultilabel"},
    ),
    ("x.tsv", "".join(f"a note\t<{'> <'.join(labels)}>\n" for labels in TRUTH.values()), {}),
    ("x.txt", "".join(f"{row},{int(row) + 1}\ta note\n" for row in TRUTH), {"format": "pecos"}),
    *[("x.csv", csv_text(cells), {}) for cells in PRINTED.values()],
    *[("x.csv", csv_text(cells), {"label_separator": "><"}) for cells in PRINTED.values()],
    *[("x.jsonl", jsonl(cells), {}) for cells in PRINTED.values()],
]
# What the imports gave, by the version: add a line with each one.
OUTCOMES = {1: "ca5ab15eddd15afb0508d2fb9312f0df72e08027ba47f723d472fd0960985b44"}


def test_another_way_to_read_a_table_has_another_version(read: Import) -> None:
    outcomes: list[tuple[bool, dict[str, list[str]], dict[str, str]]] = []
    for name, content, options in FILES:
        got = read(name, content, **options)
        outcomes.append((bool(got.error), got.labels, got.texts))
    assert sum(failed for failed, *_ in outcomes) < len(FILES) / 2
    digest = hashlib.sha256(json.dumps(outcomes, sort_keys=True).encode()).hexdigest()
    assert digest == OUTCOMES[READER_VERSION], "raise READER_VERSION, and add the digest of its outcomes"
