"""Examines the machine for `xmcpipe doctor`: one finding for each thing that a run needs, with what mends it.

Each module has functions that return findings (`finding.Finding`); `examine` puts them in order. Nothing is
installed, changed or downloaded.
"""
