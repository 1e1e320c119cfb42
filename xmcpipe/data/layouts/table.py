"""The table of all layouts. A new layout is a module in this folder and one line here."""

from xmcpipe.config import nearest
from xmcpipe.data.layouts.attentionxml import ATTENTIONXML
from xmcpipe.data.layouts.layout import Layout
from xmcpipe.data.layouts.pecos import PECOS
from xmcpipe.data.layouts.x_y import X_Y
from xmcpipe.data.layouts.xc_raw import XC_RAW
from xmcpipe.data.layouts.xtransformer import XTRANSFORMER
from xmcpipe.errors import XmcpipeError

# In the order of detection: if several layouts fit a folder equally well, the first one counts.
LAYOUTS: tuple[Layout, ...] = (
    PECOS,
    XTRANSFORMER,
    ATTENTIONXML,
    XC_RAW,
    X_Y,
)


def layout_names() -> tuple[str, ...]:
    """The names of all layouts, in the order of detection."""
    return tuple(layout.name for layout in LAYOUTS)


def find_layout(name: str) -> Layout:
    """The layout called `name`. Raises XmcpipeError, with the nearest name, if there is none."""
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise XmcpipeError(f"unknown layout {name!r}", nearest(name, layout_names()))
