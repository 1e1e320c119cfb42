"""The systems. A new one is a file with a function `rank`, a name in config.py, and one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xmcpipe.baselines import linear, napkinxc, omikuji, pecos, popularity
from xmcpipe.baselines.config import BaselineConfig
from xmcpipe.baselines.documents import Documents
from xmcpipe.baselines.libraries import import_library
from xmcpipe.baselines.ranking import Ranking


@dataclass(frozen=True)
class System:
    """A system.

    `rank(documents, config, k, scratch)` trains it, and returns the k best labels of each test document. It
    may write to the folder `scratch`. `require()` raises XmcpipeError if the system needs a library that is
    missing; the hint says how to install it.
    """

    rank: Callable[[Documents, BaselineConfig, int, Path], Ranking]
    require: Callable[[], object] = lambda: None


SYSTEMS: Mapping[str, System] = {
    "popularity": System(popularity.rank),
    "linear": System(linear.rank),
    "omikuji": System(omikuji.rank, partial(import_library, "omikuji")),
    "napkinxc": System(napkinxc.rank, partial(import_library, "napkinxc")),
    "pecos": System(pecos.rank, pecos.require),
}
