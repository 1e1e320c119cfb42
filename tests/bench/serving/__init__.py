"""Benchmark of `xmcpipe serve`."""
