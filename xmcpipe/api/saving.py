"""Copies of a model for other places: a folder of its own, with a model card, or the Hugging Face hub."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmcpipe.api.chains import ModelFolders
from xmcpipe.calibration.files import FILES
from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.saved import read_facts

CARD = "README.md"
# What a model may consist of. Nothing else that lies in its folder is copied or downloaded.
PARTS = (
    *("model.json", "model.safetensors", "labels.parquet", "encoder", "tokenizer", *FILES),
    *("predict.json", "classifier.json", CARD, "manifest.json", "log"),
)
# The manifest has paths and command lines of the machine; the log is large. No prediction needs them.
LEFT_OUT = ("manifest.json", "log")
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
HEAD = """---
library_name: xmcpipe
pipeline_tag: text-classification
tags:
- multi-label-classification
---
"""
USE = """## Use

```python
import xmcpipe

model = xmcpipe.load("{name}")
model.predict("a text", k=5)
```
"""


def copy_model(
    source: ModelFolders, target: Path, files: Mapping[str, str], left_out: tuple[str, ...] = ()
) -> None:
    """Copy the PARTS of a model to the new folder `target`, except `left_out`, and add `files` (name: text).

    Its calibration is copied into the same folder. Raises XmcpipeError if the target exists, and for a
    device, a pipe or a link to a folder among the parts. Nothing is left half-written.
    """
    if target.exists():
        raise XmcpipeError(f"{target} exists already", "save to a new folder")
    parent = target.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=parent) as name:
        part = Path(name, "model")
        part.mkdir()
        for each in PARTS:
            if each not in left_out and os.path.lexists(source.model / each):
                _copy(source.model / each, part / each)
        if source.calibration is not None:
            for file in FILES:
                _copy(source.calibration / file, part / file)
        for file, text in files.items():
            (part / file).write_text(text, encoding="utf-8")
        part.rename(target)


def _copy(source: Path, target: Path) -> None:
    # A stranger may have made the folder: /dev/zero never ends, and no more does a link to a folder above.
    if source.is_file():
        shutil.copy2(source, target)
    elif source.is_dir() and not source.is_symlink():
        target.mkdir()
        for each in sorted(source.iterdir()):
            _copy(each, target / each.name)
    else:
        raise XmcpipeError(
            f"{source}: expected an ordinary file or folder, got a link to none, a pipe or a device",
            "get another copy of the model",
        )


def push(
    source: ModelFolders,
    name: str,
    num_labels: int,
    files: Mapping[str, str],
    private: bool,
    token: str | None,
) -> str:
    """Upload the model in `source`, with its card, to `name` (USER/MODEL) on the hub; returns its address.

    `files` (name: text) are added. Raises XmcpipeError for another form of name, and if the hub refuses it
    or can't be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if not HUB_ID.fullmatch(name):
        raise XmcpipeError(f"expected a name USER/MODEL on the hub, got {name!r}", "for example me/papers")
    with tempfile.TemporaryDirectory(prefix="xmcpipe-push-") as folder:
        copy = Path(folder, "model")
        card = model_card(source.model, name, num_labels)
        copy_model(source, copy, {CARD: card, **files}, LEFT_OUT)
        try:
            api = HfApi(token=token)
            api.create_repo(name, private=private, exist_ok=True)
            return str(
                api.upload_folder(repo_id=name, folder_path=copy, commit_message="Model of xmcpipe").repo_url
            )
        except (OSError, ValueError, HfHubHTTPError) as error:
            raise _no_hub(f"the model can't be uploaded to {name}", error) from error


def pull(name: str, revision: str | None = None) -> Path:
    """The local folder of the model `name` (USER/MODEL) of the hub, downloaded if it isn't in the cache.

    Raises XmcpipeError if the hub has no such model or can't be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        patterns = [pattern for part in PARTS for pattern in (part, f"{part}/*")]
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _no_hub(f"there is no folder {name}, and no such model from the hub", error) from error


def model_card(folder: Path, name: str, num_labels: int) -> str:
    """The card of the model in `folder`, Markdown: what it was trained on, its figures, and how to use it."""
    facts = read_facts(folder)
    rows = [*_training(facts), ("labels", f"{num_labels:,}")]
    text = f"{HEAD}\n# {name.rpartition('/')[2]}\n\nLabels texts, with xmcpipe.\n\n{_table(rows)}\n"
    figures: dict[str, Any] = facts.get("figures", {}).get("validation", {})
    if figures:
        text += (
            "## Figures\n\nMeasured on documents that were set aside from the training data. The best "
            "checkpoint was chosen by them, so other documents may give lower figures.\n\n"
            f"{_table([(metric, f'{100 * value:.1f}') for metric, value in figures.items()])}\n"
        )
    return text + USE.format(name=name)


def _training(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    tables = facts.get("recipe", {})
    train, tokenize = tables.get("train", {}), tables.get("tokenize", {})
    encoder = train.get("encoder", {}).get("name") or tokenize.get("encoder", "")
    rows = {
        "encoder": Path(encoder).name if Path(encoder).is_absolute() else encoder,
        "encoder trained": {True: "no", False: "yes"}.get(train.get("encoder", {}).get("frozen"), ""),
        "loss": train.get("loss", ""),
        "training documents": f"{facts['documents']:,}" if "documents" in facts else "",
        "tokens of a text": f"the first {facts['max_length'] * facts.get('max_pieces', 1):,}",
    }
    return [(name, value) for name, value in rows.items() if value]


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]) + "\n"


def _no_hub(what: str, error: Exception) -> XmcpipeError:
    reason = str(error).strip().splitlines()
    return XmcpipeError(
        f"{what}: {reason[0] if reason else type(error).__name__}", "check the name and network"
    )
