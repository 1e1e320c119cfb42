"""Data: from users' tables and public datasets to token ids, and from files of any origin to lists of labels.

Rooms, each above those that it imports (a contract in pyproject.toml checks it):

    sources      datasets that `download` knows by name: the registry's, Debian's packages, synthetic text
    fetch        files from the web: mirrors, resumed transfers, the cache of archives
    registry     datasets.toml: which public datasets there are, where they come from, what they must hold
    layouts      public datasets in a folder: which file holds what, one module per layout
    label_lists  predictions, truth and training labels from files of any format, in one numbering
    raw          documents to the raw artifact: policies, split, vocabulary
    shards       token ids in Arrow files: written by `tokenize`, read by training
    tables       CSV, TSV, JSON lines and Parquet as batches of documents

At the top are the formats that several rooms share: `schema` (the columns of all artifacts), `npz` (CSR
matrices), `filter_pairs`, `predictions`, and `arrays`.
"""
