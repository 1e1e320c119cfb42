"""From predictions to the figures in metrics.json; both `xmcpipe eval` and `xmcpipe report` use this package.

`files` reads label lists from any source and gives them a common label numbering. `lists` measures such lists
against the truth. `shard_training` counts the training labels of a shards artifact, from which propensities
are computed. `metrics_json` builds, writes and reads metrics.json.

The definitions of the metrics themselves are in xmcpipe/metrics.
"""
