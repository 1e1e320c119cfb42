"""JSON that holds documents in another shape than one object for each, and what to do with it."""

from collections.abc import Collection
from typing import Any

NAMES = ("label", "name", "title", "uri", "id")  # keys of an object that may hold the name of a label
RECORDS = "write an object for each document (pandas: to_json(orient='records', lines=True))"


def way_out_of(record: dict[str, Any], columns: Collection[str]) -> str:
    """What to do with an object of which the reader takes `columns`; "" for an object that is a document."""
    if way_out := _of_annotators(record, columns):
        return way_out
    nested = [key for key, value in record.items() if isinstance(value, list) and _are_objects(value)]
    if any(map(_is_chat, record.values())):
        return "it is a file of chats: write each text and its labels as two keys of an object"
    if nested and not set(columns) & record.keys():
        return f"write only the list in {nested[0]!r}, or each of its objects on a line"
    if {"columns", "data"} <= record.keys() and not set(columns) & record.keys():
        return RECORDS
    values = list(record.values())
    if len(values) > 1 and not set(columns) & record.keys() and all(_has(each, columns) for each in values):
        return "write each of its objects on a line, with its key as 'id'"
    inner = [key for key, value in record.items() if _has(value, columns)]
    if inner and not set(columns) & record.keys():
        return f"write only the object in {inner[0]!r} on each line"
    table = [record[name] for name in columns if name in record]
    if len(table) > 1 and all(isinstance(value, dict) for value in table):
        return RECORDS
    several = [value for value in table if isinstance(value, list)]
    if len(several) == len(table) > 1 and len({len(value) for value in several}) == 1:
        return "write an object for each document; a text in pieces as one string"
    return ""


def _of_annotators(record: dict[str, Any], columns: Collection[str]) -> str:
    """What to do with an object that an annotation tool exported."""
    annotations = record.get("annotations", record.get("completions"))
    if isinstance(annotations, list) and isinstance(record.get("data"), dict):
        return "it is of Label Studio: export as JSON-MIN or CSV, which have texts and labels in columns"
    if isinstance(annotations, list) and "annotation_approver" in record:
        return "it is of doccano, with numbers of labels: export with the texts of labels"
    if isinstance(record.get("fields"), dict) and isinstance(record.get("responses"), dict):
        return "it is of Argilla: export its records as flat rows: to_list(flatten=True)"
    absent = set(columns) - record.keys()
    if absent == {"labels"} and isinstance(record.get("accept"), list) and "answer" in record:
        return "it is of Prodigy: name the column of labels with --labels-column accept"
    return ""


def way_out_of_line(line: str) -> str:
    """What to do with a line that is no JSON."""
    if line.lstrip().startswith("{'"):
        return "it is a dict as Python prints it: write json.dumps(row)"
    return "write one object per line"


def way_out_of_label(value: Any) -> str:
    """What to do with a label that is no string."""
    if isinstance(value, list):
        return "write one list of labels for each document, without lists in it"
    if isinstance(value, dict):
        name = next((key for key in NAMES if isinstance(value.get(key), str)), None)
        return "write each label as a string" + (f", here perhaps its {name!r}" if name else "")
    return ""


def way_out_of_labels(value: Any) -> str:
    """What to do with labels that are no list."""
    if isinstance(value, dict) and value and all(each in (0, 1) for each in value.values()):
        return "write a list of the labels whose value is 1"
    return "write a list of the labels" if isinstance(value, dict) else ""


def _has(value: Any, columns: Collection[str]) -> bool:
    return isinstance(value, dict) and value.keys() >= set(columns)


def _is_chat(value: Any) -> bool:
    """Whether a value is a list of messages, as language models are trained on."""
    roles = ({"role", "content"}, {"from", "value"})
    return isinstance(value, list) and _are_objects(value) and any(keys <= value[0].keys() for keys in roles)


def _are_objects(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(each, dict) for each in value)
