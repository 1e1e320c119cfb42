"""The definitions of the metrics, one object each; `xmcpipe.metrics.catalog` lists them."""
