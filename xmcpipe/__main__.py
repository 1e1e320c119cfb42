"""`python -m xmcpipe` is the command `xmcpipe`."""

from xmcpipe.cli.app import main

main()
