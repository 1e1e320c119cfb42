"""Makes a data set of WordNet: documents are nouns and verbs with their glosses, labels are the terms above.

    python -m tests.bench.unseen.wordnet /usr/share/wordnet wordnet.jsonl.gz [--documents 24000]

The folder has the files data.noun and data.verb of WordNet 3 (Debian: `apt-get install wordnet-base`). Labels
are the hypernyms up to three levels above. The documents are a sample, the same each time.
"""

import argparse
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LEVELS = 3
HYPERNYMS = ("@", "@i")  # pointers to the class, and from an instance to its class


class Synset(NamedTuple):
    """A line of the database; `above` has the keys of the synsets one level above."""

    words: list[str]
    gloss: str
    above: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--documents", type=int, default=24_000)
    options = parser.parse_args()
    synsets = {key: each for kind in ("noun", "verb") for key, each in read(options.folder, kind)}
    documents = [document for key in synsets if (document := described(synsets, key))["labels"]]
    random.Random(0).shuffle(documents)
    with gzip.open(options.out, "wt", encoding="utf-8") as out:
        for document in documents[: options.documents]:
            out.write(json.dumps(document) + "\n")


def read(folder: Path, kind: str) -> Iterator[tuple[str, Synset]]:
    """The synsets of a file, with a key for each; the licence, which is indented, is skipped."""
    for line in (folder / f"data.{kind}").read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue
        data, _, gloss = line.partition("|")
        fields = data.split()
        end = 4 + 2 * int(fields[3], 16)  # two fields for each word, after four of the synset
        pointers = [fields[end + 1 + 4 * number :][:3] for number in range(int(fields[end]))]
        above = [part + offset for symbol, offset, part in pointers if symbol in HYPERNYMS]
        yield kind[0] + fields[0], Synset(fields[4:end:2], gloss.strip(), above)


def described(synsets: dict[str, Synset], key: str) -> dict[str, object]:
    """The document of a synset: id, text and labels."""
    labels: dict[str, None] = {}
    level = synsets[key].above
    for _ in range(LEVELS):
        labels.update(dict.fromkeys(level))
        level = [above for each in level for above in synsets[each].above]
    words = " ".join(synsets[key].words).replace("_", " ")
    names = [f"{synsets[each].words[0]}.{each}" for each in labels]
    return {"id": key, "text": f"{words}: {synsets[key].gloss}", "labels": names}


if __name__ == "__main__":
    main()
