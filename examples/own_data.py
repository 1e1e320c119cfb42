"""Train on your own CSV file, save the model, and label new texts.

    python examples/own_data.py papers.csv my-model

papers.csv has the columns text and labels; labels are separated by ";".
"""

import csv
import sys

import xmcpipe

table, folder = sys.argv[1:]
with open(table, encoding="utf-8", newline="") as file:  # noqa: PTH123 - the shortest way
    rows = list(csv.DictReader(file))
texts = [row["text"] for row in rows]
labels = [[name.strip() for name in row["labels"].split(";") if name.strip()] for row in rows]

classifier = xmcpipe.XMCClassifier(frozen=True)  # frozen=False trains the encoder too: better, and slower
classifier.fit(texts[20:], labels[20:])
print(f"P@1 of 20 other documents: {classifier.score(texts[:20], labels[:20]):.2f}")
classifier.save(folder)

model = xmcpipe.load(folder)
for best in model.predict(texts[0], k=3):
    print(f"{best.label:20} {best.probability:.2f}")
