"""Contents of files with the same documents and labels in different ways."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tests.unit.data.tables.importing import Imported

NAMES = ["alpha", "beta", "gamma", "delta", "eps"]
TRUTH = {str(row): [NAMES[row % 5], *([NAMES[2]] if row % 5 < 2 else [])] for row in range(12)}
VECTORS: dict[str, list[Any]] = {
    row: [int(name in labels) for name in NAMES] for row, labels in TRUTH.items()
}
CLASSES = {"_type": "ClassLabel", "names": NAMES}
Import = Callable[..., Imported]


def rows(labels: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"text": f"note {row} about", "labels": value} for row, value in labels.items()]


def jsonl(labels: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows(labels))


def csv_text(labels: dict[str, str]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["text", "labels"])
    writer.writeheader()
    writer.writerows(rows(labels))
    return file.getvalue()


def parquet(labels: dict[str, Any], type_: pa.DataType, feature: Any = None) -> pa.Table:
    texts = [row["text"] for row in rows(labels)]
    table = pa.table({"text": texts, "labels": pa.array(list(labels.values()), type_)})
    if feature is None:
        return table
    return table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": {"labels": feature}}})}
    )


def sorted_(labels: dict[str, list[str]]) -> dict[str, list[str]]:
    return {row: sorted(set(names)) for row, names in labels.items()}
