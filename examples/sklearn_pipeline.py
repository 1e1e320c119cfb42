"""Search a threshold with scikit-learn, on a CSV file with the columns text and labels ("editors; spelling"):

python examples/sklearn_pipeline.py papers.csv
"""

import csv
import sys
from pathlib import Path

from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer

import xmcpipe

with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
texts = [row["text"] for row in rows]
matrix = MultiLabelBinarizer(sparse_output=True).fit_transform(
    [[name.strip() for name in row["labels"].split(";")] for row in rows]
)
train, test, train_labels, test_labels = train_test_split(texts, matrix, test_size=0.2, random_state=0)

lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
pipeline = Pipeline([("lower", lower), ("labels", xmcpipe.XMCClassifier(frozen=True))])
f1 = make_scorer(f1_score, average="micro", zero_division=0)
search = GridSearchCV(pipeline, {"labels__threshold": [0.1, 0.3, 0.5]}, cv=2, scoring=f1)
search.fit(train, train_labels)
print(f"best threshold: {search.best_params_['labels__threshold']}")
print(f"F1 of {len(test)} other documents: {search.score(test, test_labels):.2f}")
