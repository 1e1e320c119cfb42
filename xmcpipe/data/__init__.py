"""Data: from users' tables and public datasets to token ids, and from files of any origin to lists of labels.

Subpackages and modules; each may import only those below it (a contract in pyproject.toml checks this):

    sources      datasets that `download` knows by name: registered ones, Debian's packages, synthetic text
    fetch        files from the web: mirrors, resumed transfers, the cache of archives
    registry     datasets.toml: the public datasets, their mirrors, and their numbers of documents and labels
    layouts      folders of public datasets: one module per layout describes its files
    label_lists  predictions, truth and training labels from files of any format, in one numbering
    raw          from documents to the raw artifact: policies, split, vocabulary
    shards       token ids in Arrow files: written by `tokenize`, read by training
    tables       CSV, TSV, JSON, Parquet, Arrow and files of other programs as batches of documents

The other modules are shared by several subpackages: `schema` (the columns of all artifacts), `npz` (CSR
matrices), `filter_pairs`, `predictions`, and `arrays`.
"""
