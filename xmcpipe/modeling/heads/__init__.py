"""Output layers: a file for each kind of head, named in `xmcpipe.modeling.head_table`."""

from xmcpipe.modeling.heads.base import DTYPES, Head, HeadShape
from xmcpipe.modeling.heads.build import build

__all__ = ["DTYPES", "Head", "HeadShape", "build"]
