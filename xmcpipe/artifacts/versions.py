"""The version of each artifact's format. Change it with the format: older artifacts are then refused.

Apart from the formats themselves, since the command line reads these numbers and should not load pyarrow.
"""

RAW_VERSION = 1
SHARDS_VERSION = 1
CLUSTERS_VERSION = 1
MODEL_VERSION = 2
PREDICTIONS_VERSION = 1
METRICS_VERSION = 2
