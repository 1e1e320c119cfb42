"""DOWNLOAD: a dataset by name, made into the raw artifact by the same policies as an imported one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmcpipe.artifacts.versions import RAW_VERSION
from xmcpipe.config import runtime
from xmcpipe.data.policies import Policies
from xmcpipe.stages.stage import Result, Stage

SYNTHETIC_DOCUMENTS, SYNTHETIC_LABELS = 4000, 500


@dataclass(frozen=True, kw_only=True)
class DownloadConfig(Policies):
    """Which data; what to keep of it is in Policies.

    dataset: `debian`, a package index; `synthetic`, text from a generator, only ever by this name.
    documents: a slice of so many before the policies; 0: all of debian's, 4,000 synthetic ones.
    labels: labels of synthetic; 0: 500.
    data_seed: which slice, or which synthetic text. Not `seed`: runs of several seeds shall see the same.
    suite: of debian; component main, amd64.
    mirror: where debian is fetched; `http:` becomes `https:` where there is no apt-get to verify what comes.
    via: `apt`, `https`, or `auto`: apt-get where it is installed, and HTTPS where it isn't or fails.
    """

    dataset: Literal["debian", "synthetic"]
    documents: int = 0
    labels: int = 0
    data_seed: int = 0
    suite: str = "bookworm"
    mirror: str = runtime("http://deb.debian.org/debian")
    via: Literal["auto", "apt", "https"] = runtime("auto")
    min_label_count: int = 2

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        super().__post_init__()
        for name in ("documents", "labels", "data_seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, 0 or more was wanted")


def run(config: DownloadConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the raw artifact into `out`; a download broken off in `scratch` is taken up there.

    Raises XmcpipeError where the network, the mirror or the index is at fault.
    """
    makers = {"debian": _debian, "synthetic": _synthetic}
    return makers[config.dataset](config, out, scratch)


def _debian(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    from xmcpipe.data import debian
    from xmcpipe.data.debian_index import fetch_index
    from xmcpipe.data.raw import write_raw

    index = fetch_index(config.mirror, config.suite, config.via, scratch)
    packages = debian.read_packages(index)
    chosen = debian.choose(packages, config.documents, config.data_seed)
    table = debian.label_table(packages)
    figures, rows = write_raw({"all": debian.documents(chosen, packages)}, table, config, out, scratch)
    facts: dict[str, Any] = {"dataset": f"debian {config.suite}", "packages": len(packages), "via": index.via}
    return Result({**figures, **facts}, rows, index.sha256())


def _synthetic(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    from xmcpipe.data import synthetic
    from xmcpipe.data.raw import write_raw

    count, num_labels = config.documents or SYNTHETIC_DOCUMENTS, config.labels or SYNTHETIC_LABELS
    batches = synthetic.documents(count, num_labels, config.data_seed)
    table = synthetic.label_table(num_labels, config.data_seed)
    figures, rows = write_raw({"all": batches}, table, config, out, scratch)
    return Result({**figures, "dataset": "synthetic"}, rows)


DOWNLOAD = Stage("download", "raw", DownloadConfig, RAW_VERSION, (), run)
