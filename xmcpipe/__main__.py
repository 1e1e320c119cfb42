"""`python -m xmcpipe` runs the command `xmcpipe`."""

from xmcpipe.cli.app import main

main()
