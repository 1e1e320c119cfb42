"""Versions of those formats that packages below the stages read or write too.

If you change a format, change its version: older artifacts are then refused. The versions are not in the
modules of the formats (xmcpipe/data/schema.py, xmcpipe/modeling/saved.py), because the command line reads
them and must not load pyarrow or torch. A format that only its stage reads and writes has its version in that
stage.
"""

RAW_VERSION = 1
SHARDS_VERSION = 1
SHARDS_WITH_TERMS_VERSION = 2  # of the files that have the columns of terms
CLUSTERS_VERSION = 1
MODEL_VERSION = 2
PREDICTIONS_VERSION = 1
CALIBRATION_VERSION = 1
