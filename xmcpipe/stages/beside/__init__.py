"""What has a command of its own beside the chain: stages that `xmcpipe run` leaves out, and the export."""
