"""The version of each artifact's format. Change it with the format: older artifacts are then refused by name.

Apart from the formats themselves because the command line reads these numbers and should not load pyarrow for them.
"""

RAW_VERSION = 1
SHARDS_VERSION = 1
CLUSTERS_VERSION = 1
MODEL_VERSION = 1
PREDICTIONS_VERSION = 1
METRICS_VERSION = 1
