"""What lies beside the graph: the tokenizer, the names of the labels, the words, and a page that says how."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from xmcpipe.data import terms, word_vocabulary
from xmcpipe.inference.text_encoding import TextEncoder
from xmcpipe.modeling.words import WordSource

TOKENIZER, LABELS, LABEL_TEXTS = "tokenizer.json", "labels.json", "label_texts.json"
WORDS, WORD_CODE = "words.npz", "words.py"
IMPORT_OF_TERMS = re.compile(r"^from xmcpipe\.data\.terms import .*\n", re.MULTILINE)
# The code that made the words of the training, for programs without xmcpipe.
WORD_INPUTS = '''

def word_inputs(texts, file="words.npz"):
    """The inputs `word_ids` int64 and `word_weights` float32, [B, W], of B texts, padded with weight 0."""
    with np.load(file) as saved:
        vocabulary, pairs = WordVocabulary(saved["codes"], saved["idf"]), bool(saved["pairs"])
    found = vocabulary.weigh(document_terms(texts, pairs))
    counts = np.bincount(found.rows, minlength=len(texts))
    places = np.arange(len(found.rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = (len(texts), max(int(counts.max(initial=0)), 1))
    ids, weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    ids[found.rows, places], weights[found.rows, places] = found.ids, found.values
    return {"word_ids": ids, "word_weights": weights}
'''
PAGE = """# {name}, as an ONNX graph

From texts to the best of {labels:,} labels, with onnxruntime, tokenizers and NumPy; run it in this folder:

```python
import json

import numpy as np
import onnxruntime
from tokenizers import Tokenizer
{import_words}
texts = ["a first text", "another text"]
tokens = Tokenizer.from_file("tokenizer.json").encode_batch(texts)
inputs = {{
    "input_ids": np.array([each.ids for each in tokens], np.int64),
    "attention_mask": np.array([each.attention_mask for each in tokens], np.int64),
    "k": np.array([3], np.int64),  # number of labels
}}
{add_words}session = onnxruntime.InferenceSession("model.onnx")
labels, scores = session.run(["labels", "scores"], inputs)  # [texts, k] each, best first
names = json.load(open("labels.json", encoding="utf-8"))
for row in labels:
    print([names[label] for label in row])
```

- A score is what labels are ordered by. {probability}
- tokenizer.json cuts texts after {max_length} tokens. Blank texts have no labels: leave them out.
{about_words}- model.onnx.data has the weights, float32; it must lie beside model.onnx.
- Labels with equal scores may come in another order than in xmcpipe.
- Compared with torch on {documents} random documents: same labels, scores differ by {difference:.1g} at most.
"""
LOGISTIC = "1 / (1 + exp(-score)) is the probability that the model learned for the label, not calibrated."
NO_PROBABILITY = "It is no probability."
ABOUT_WORDS = "- words.py computes the words that labels read; padding has weight 0.\n"


def write_labels(folder: Path, labels: pa.Table) -> None:
    """Write the names of the labels, in the order of their ids, and their texts if any has one."""
    columns = {LABELS: labels["label"].to_pylist(), LABEL_TEXTS: labels["text"].to_pylist()}
    for name, values in columns.items():
        if name == LABELS or any(each is not None for each in values):
            (folder / name).write_text(json.dumps(values, ensure_ascii=False, indent=0) + "\n", "utf-8")


def write_words(folder: Path, words: WordSource) -> None:
    """Write the vocabulary of the words, and the code that finds them in texts."""
    codes, idf = words.arrays()
    np.savez(folder / WORDS, codes=codes, idf=idf, pairs=words.kind == "pairs")
    sources = [Path(str(module.__file__)).read_text("utf-8") for module in (terms, word_vocabulary)]
    (folder / WORD_CODE).write_text(IMPORT_OF_TERMS.sub("", "\n\n".join(sources)) + WORD_INPUTS, "utf-8")


def write_tokenizer(folder: Path, texts: TextEncoder) -> None:
    """Write the tokenizer with the model's truncation, and with padding."""
    texts.save_padding(folder / TOKENIZER)


def write_page(folder: Path, words: bool, logistic: bool, **facts: object) -> None:
    """Write README.md; `facts` are the other names in PAGE."""
    text = PAGE.format(
        import_words="from words import word_inputs\n" if words else "",
        add_words="inputs |= word_inputs(texts)\n" if words else "",
        about_words=ABOUT_WORDS if words else "",
        probability=LOGISTIC if logistic else NO_PROBABILITY,
        **facts,
    )
    (folder / "README.md").write_text(text, "utf-8")
