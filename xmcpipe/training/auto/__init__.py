"""The values of [train] that are "auto": their rules, their choice, and the check of a whole schedule."""

from xmcpipe.training.auto.choose import Facts, choose, chosen_values
from xmcpipe.training.auto.warnings import schedule_warnings

__all__ = ["Facts", "choose", "chosen_values", "schedule_warnings"]
