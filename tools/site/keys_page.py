"""The keys of recipes as Markdown, from the config classes of the stages."""

import json

from xmcpipe.keys import Key, keys
from xmcpipe.stages import catalog


def keys_page() -> str:
    """A section for each table, with a row for each key."""
    return "\n".join(
        f"## {stage.name}\n\n{stage.help}\n\n{_table(keys(stage.config))}"
        for stage in catalog.CATALOG
        if keys(stage.config)
    )


def _table(found: list[Key]) -> str:
    rows = [f"| `{key.name}` | {_cell(key.type)} | {_default(key)} | {_cell(key.text)} |" for key in found]
    return "\n".join(["| key | type | default | |", "|---|---|---|---|", *rows, ""])


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return "none" if key.default is None else f"`{json.dumps(key.default, ensure_ascii=False)}`"


def _cell(text: str) -> str:
    """A text in one cell: no line breaks, no bars, and what looks like HTML is text."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
