"""What happens when a training diverges: `watch` says it, and keeps it out of checkpoints and models."""

from xmcpipe.training.divergence.watch import Divergence as Divergence
