"""The columns of the tables that stages pass to each other. Their versions are in artifacts/versions.py.

raw/          train.parquet, test.parquet   id string · text string · labels list<int32>
              labels.parquet                label string · text string or null; row i is label id i
              filter_{train,test}.parquet   row int64 in that split · label int32; sorted, distinct. Filter
                                            pairs (see filter_pairs.py); no file if there are none.
shards/       {train,test,label}-00000.arrow  id string · input_ids list<int32>, with special tokens ·
              labels list<int32>, sorted, distinct. Arrow IPC files of a fixed number of rows, in order.
              With tokenize.words also terms list<uint32> · term_counts list<uint8>: see data/terms.py.
              Split `label` holds the label texts: a row for each label with a text, with that one label.
              labels.parquet, filter_{train,test}.parquet   as in raw/, for the same rows
              tokenizer/                    the files that AutoTokenizer.from_pretrained reads
clusters/     clusters.parquet              cluster int32 · position int32, if made for groups; row i is label
                                            id i
model/        labels.parquet                as in raw/, and documents int32, the number trained on
predictions/  predictions.parquet           id string · labels list<int32> best first · scores list<float>
                                            · probabilities list<float>, if the model is calibrated
              labels.parquet                as in raw/
"""

import pyarrow as pa

from xmcpipe.artifacts.versions import PREDICTIONS_VERSION, SHARDS_VERSION, SHARDS_WITH_TERMS_VERSION

LABEL_ID = pa.int32()
RAW_DOCUMENTS = pa.schema([("id", pa.string()), ("text", pa.string()), ("labels", pa.list_(LABEL_ID))])
LABELS = pa.schema([("label", pa.string()), ("text", pa.string())])
SHARD = pa.schema(
    [("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(LABEL_ID))],
    metadata={"xmcpipe.shards": str(SHARDS_VERSION)},
)
SHARD_WITH_TERMS = pa.schema(
    [*SHARD, ("terms", pa.list_(pa.uint32())), ("term_counts", pa.list_(pa.uint8()))],
    metadata={"xmcpipe.shards": str(SHARDS_WITH_TERMS_VERSION)},
)
FILTER_PAIRS = pa.schema([("row", pa.int64()), ("label", LABEL_ID)])
CLUSTERS = pa.schema([("cluster", pa.int32())])
CLUSTERS_WITH_ORDER = pa.schema([*CLUSTERS, ("position", pa.int32())])
PREDICTIONS = pa.schema(
    [("id", pa.string()), ("labels", pa.list_(LABEL_ID)), ("scores", pa.list_(pa.float32()))],
    metadata={"xmcpipe.predictions": str(PREDICTIONS_VERSION)},
)
# An additional column, which older versions don't read: the format is the same.
WITH_PROBABILITIES = pa.schema(
    [*PREDICTIONS, ("probabilities", pa.list_(pa.float32()))], PREDICTIONS.metadata
)
