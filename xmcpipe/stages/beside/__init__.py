"""Stages beside the chain: `xmcpipe run` leaves them out, and a command of their own runs each."""
