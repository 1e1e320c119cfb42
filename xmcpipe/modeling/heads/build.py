"""Builds a head from its shape, by its name in the table."""

from pkgutil import resolve_name
from typing import cast

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.head_table import HEADS, require_head
from xmcpipe.modeling.heads.base import Device, Head, HeadShape


def build(shape: HeadShape, device: Device = "cpu") -> Head:
    """The head of `shape` on `device`; its weights are not drawn yet (see `Head.reset_parameters`).

    Raises XmcpipeError for a kind that the table doesn't have, and for K > D.
    """
    try:
        require_head(shape.kind)
    except ValueError as error:
        raise XmcpipeError(f"head: {error}", "use an xmcpipe that has this head") from error
    return cast(Head, resolve_name(HEADS[shape.kind].path)(shape, device))
