"""The Debian dataset: documents are packages, and their labels are the packages that they depend on.

The text of a document is the name, the short and the long description of a package. Its labels are the
packages in its fields Depends, Recommends and Suggests, without versions and architectures, and with every
alternative of `a | b`. Names that are not in the index are left out: they are virtual packages, which have no
description. Pre-Depends is ignored. If a package is listed twice, its first stanza counts. The text of a
label is the name and the short description of its package. Debian 12 has 56,842 documents with a label, and
42,233 labels, with 5.25 labels per document.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

import polars as pl

from xmcpipe.data.sources.debian_index import Index
from xmcpipe.errors import XmcpipeError

BATCH_ROWS = 8192
RELATIONS = ("Depends", "Recommends", "Suggests")
_NAME = re.compile(r"(?:^|[,|])\s*([A-Za-z0-9][A-Za-z0-9+.-]*)")


@dataclass(frozen=True)
class Package:
    """A package: its short and long description, and the sorted names in its relations."""

    name: str
    short: str
    long: str
    related: tuple[str, ...]


def read_packages(index: Index) -> dict[str, Package]:
    """Name -> package, in the order of the index. Raises XmcpipeError if it is not a package index."""
    # Descriptions may be in a file of their own; packages then refer to them by their md5.
    descriptions: dict[str, str] = {}
    if index.descriptions:
        for stanza in stanzas(index.descriptions, ("Description-md5", "Description-en")):
            descriptions[stanza.get("Description-md5", "")] = stanza.get("Description-en", "")
    packages: dict[str, Package] = {}
    for stanza in stanzas(index.packages, ("Package", "Description", "Description-md5", *RELATIONS)):
        name = stanza.get("Package")
        if not name:
            raise XmcpipeError(
                f"{index.packages} is not a package index: a stanza has no Package", "download it again"
            )
        if name in packages:
            continue
        text = descriptions.get(stanza.get("Description-md5", ""), stanza.get("Description", ""))
        short, _, long = text.partition("\n")
        related = {found for field in RELATIONS for found in related_names(stanza.get(field, ""))}
        packages[name] = Package(name, short, _unfold(long), tuple(sorted(related)))
    if not packages:
        raise XmcpipeError(f"{index.packages} has no packages", "check mirror and suite")
    return packages


def stanzas(path: Path, fields: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the given fields of each stanza of a deb822 file; continuation lines follow a line break."""
    stanza: dict[str, str] = {}
    field, seen = "", False
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.isspace():
                if seen:
                    yield stanza
                stanza, field, seen = {}, "", False
                continue
            seen = True
            if line[0] in " \t":  # a continuation line
                if field:
                    stanza[field] += "\n" + line.rstrip("\n")
                continue
            key, _, value = line.partition(":")
            field = key if key in fields else ""
            if field:
                stanza[field] = value.strip()
    if seen:
        yield stanza


def related_names(relations: str) -> list[str]:
    """The package names in a relation field: `a (>= 1) | b:any, c` gives a, b, c."""
    return _NAME.findall(relations)


def choose(packages: dict[str, Package], count: int, seed: int) -> list[Package]:
    """A sample of `count` packages that have a label, in the order of `packages`; all packages for 0.

    The sample has the packages with the smallest md5 of seed and name, so a smaller sample is a part of a
    larger one.
    """
    if not count:
        return list(packages.values())
    labelled = [
        name for name, package in packages.items() if any(other in packages for other in package.related)
    ]
    chosen = set(heapq.nsmallest(count, labelled, key=lambda name: md5(f"{seed}:{name}".encode()).digest()))
    return [package for name, package in packages.items() if name in chosen]


def documents(chosen: list[Package], known: dict[str, Package]) -> Iterator[pl.DataFrame]:
    """Yield batches of documents for a `DocumentSet`; labels are those related packages that are `known`."""
    for first in range(0, len(chosen), BATCH_ROWS):
        batch = chosen[first : first + BATCH_ROWS]
        yield pl.DataFrame(
            {
                "id": [package.name for package in batch],
                "text": [_text(package) for package in batch],
                "labels": [[name for name in package.related if name in known] for package in batch],
            },
            schema={"id": pl.String, "text": pl.String, "labels": pl.List(pl.String)},
        )


def label_table(packages: dict[str, Package]) -> pl.DataFrame:
    """The label table for a `DocumentSet`: all packages, sorted by name, with their titles as texts."""
    names = sorted(packages)
    return pl.DataFrame({"label": names, "text": [_title(packages[name]) for name in names]})


def _title(package: Package) -> str:
    return f"{package.name}: {package.short}" if package.short else package.name


def _text(package: Package) -> str:
    return f"{_title(package)}\n{package.long}" if package.long else _title(package)


def _unfold(description: str) -> str:
    """A long description without the leading space of each line; a line with a dot alone becomes empty."""
    lines = (line.strip() for line in description.split("\n"))
    return "\n".join("" if line == "." else line for line in lines).strip()
