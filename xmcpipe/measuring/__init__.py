"""From predictions to the figures of metrics.json: what `xmcpipe eval` and `xmcpipe report` both use.

`files` reads label lists of any source and turns them into one numbering of labels. `lists` measures such
lists against the truth. `shard_training` counts the training labels of a shards artifact, which propensities
need. `metrics_json` builds, writes and reads the file that holds the result.

The definitions of the metrics themselves are in xmcpipe/metrics.
"""
