"""Makes a data set of Debian tags: documents are packages, labels are tags such as use::gameplaying.

    xmcpipe download pipelines/debian.toml
    python -m tests.bench.unseen.debtags artifacts/raw/… Packages debtags.jsonl.gz [--documents 6000]

Texts are those of the dataset debian, whose labels are other packages. The package index of Debian 12, the
file Packages, uncompressed, has the tags. The documents are a sample, the same each time.
"""

import argparse
import gzip
import json
import random
from pathlib import Path

import polars as pl

from xmcpipe.data.sources.debian import stanzas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=Path)
    parser.add_argument("packages", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--documents", type=int, default=6_000)
    options = parser.parse_args()
    tables = [pl.read_parquet(options.raw / f"{split}.parquet") for split in ("train", "test")]
    texts = {name: text for table in tables for name, text in table.select("id", "text").iter_rows()}
    found: dict[str, list[str]] = {}
    for stanza in stanzas(options.packages, ("Package", "Tag")):
        tags = [tag.strip() for tag in stanza.get("Tag", "").split(",")]
        if stanza["Package"] in texts and any(tags):
            found[stanza["Package"]] = [tag for tag in tags if tag]
    names = list(found)
    random.Random(0).shuffle(names)
    with gzip.open(options.out, "wt", encoding="utf-8") as out:
        for name in names[: options.documents]:
            out.write(json.dumps({"id": name, "text": texts[name], "labels": found[name]}) + "\n")


if __name__ == "__main__":
    main()
