"""Add labels to a trained model, and label a text with the larger one.

    python examples/grow_labels.py my-model new.csv my-larger-model "a text"

new.csv has the columns label and text: a new label, and a sentence about it.
"""

import csv
import sys
from pathlib import Path

import xmcpipe

folder, table, target, text = sys.argv[1:]
with Path(table).open(encoding="utf-8", newline="") as file:
    texts = {row["label"]: row["text"] for row in csv.DictReader(file)}

model = xmcpipe.load(folder)
larger = model.grow([*texts], texts)  # and documents=[(text, [label, ...]), ...] if you have some
larger.save(target)
print(f"{len(model.labels)} labels and {len(texts)} new ones")
for best in larger.predict(text, k=3):
    print(f"{best.label:20} {best.probability:.2f}{' (new)' if best.label in texts else ''}")
