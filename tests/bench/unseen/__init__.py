"""Data sets that no setting was chosen on: what the recipe of `xmcpipe init` reaches on them."""
