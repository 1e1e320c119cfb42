"""DOWNLOAD: a dataset by name, made into the raw artifact by the same policies as an imported one.

The sets of the registry (xmcpipe/data/datasets.toml) come with a split of their own, and others' figures hold
for exactly that: by default nothing of them is dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmcpipe.artifacts.versions import RAW_VERSION
from xmcpipe.config import later, nearest, runtime
from xmcpipe.data import registry
from xmcpipe.data.raw.policies import AS_GIVEN, Policies
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.stage import Result, Stage

SYNTHETIC_DOCUMENTS, SYNTHETIC_LABELS = 4000, 500


@dataclass(frozen=True, kw_only=True)
class DownloadConfig(Policies):
    """Which data; what to keep of it is in Policies.

    dataset: one of the registry, which `xmcpipe datasets` lists; `debian`, a package index; `synthetic`, text
      from a generator, only ever by this name.
    archive: a file or folder with a set of the registry, fetched by hand; the mirrors are then not asked.
    titles_only: of a set of the registry whose documents have several fields, and of its labels, the title is
      the text. Mirrors that hold one text a document, title and all, are then not asked.
    documents: a slice of so many before the policies; 0: all of debian's, 4,000 synthetic ones.
    labels: labels of synthetic; 0: 500.
    data_seed: which slice, or which synthetic text. Not `seed`: runs of several seeds shall see the same.
    suite: of debian; component main, amd64.
    mirror: where debian is fetched; `http:` becomes `https:` where there is no apt-get to verify what comes.
    via: `apt`, `https`, or `auto`: apt-get where it is installed, and HTTPS where it isn't or fails.
    """

    dataset: str
    archive: str | None = runtime(None)
    titles_only: bool = later(False)
    documents: int = 0
    labels: int = 0
    data_seed: int = 0
    suite: str = "bookworm"
    mirror: str = runtime("http://deb.debian.org/debian")
    via: Literal["auto", "apt", "https"] = runtime("auto")
    min_label_count: int = 2

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range or a key of another dataset."""
        super().__post_init__()
        for name in ("documents", "labels", "data_seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, 0 or more was wanted")
        registered = self.dataset in registry.datasets()
        if not registered and self.dataset not in MAKERS:
            known = [*registry.datasets(), *MAKERS]
            raise XmcpipeError(
                f"download.dataset: there is no {self.dataset!r}", nearest(self.dataset, known)
            )
        others = ("documents", "labels", "data_seed") if registered else ("archive", "titles_only")
        for name in others:
            if getattr(self, name):
                raise ValueError(f"{name} was given, {self.dataset} has no such key")

    @staticmethod
    def defaults(table: Mapping[str, Any]) -> Mapping[str, Any]:
        """The defaults of the dataset that `table` names, where they aren't those of the class."""
        return AS_GIVEN if str(table.get("dataset")) in registry.datasets() else {}


def source(config: DownloadConfig) -> str | None:
    """The sha256 of what was fetched by hand; None where the network is to give it."""
    if config.archive is None:
        return None
    from xmcpipe.data.sources.registered import source_of, text_mirrors_in_hint

    with text_mirrors_in_hint(registry.find(config.dataset)):
        return source_of(Path(config.archive))


def run(config: DownloadConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the raw artifact into `out`; a download broken off in `scratch` is taken up there.

    Raises XmcpipeError where the network, the mirror or the index is at fault.
    """
    return MAKERS.get(config.dataset, _registered)(config, out, scratch)


def _registered(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    from xmcpipe.data.sources.registered import DatasetWriter

    dataset = registry.find(config.dataset)
    # where the titles are all that there is, a line of text is a title as well
    titles_only = config.titles_only and dataset.text_fields != registry.TITLE
    writer = DatasetWriter(dataset, config, out, scratch, titles_only)
    archive = source(config)
    raw = writer.from_path(Path(str(config.archive)), archive) if archive else writer.from_mirrors()
    return Result(raw.figures, raw.rows, raw.source)


def _debian(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    from xmcpipe.data.raw.documents import DocumentSet
    from xmcpipe.data.raw.writing import write_raw
    from xmcpipe.data.sources import debian
    from xmcpipe.data.sources.debian_index import fetch_index

    index = fetch_index(config.mirror, config.suite, config.via, scratch)
    packages = debian.read_packages(index)
    chosen = debian.choose(packages, config.documents, config.data_seed)
    table = debian.label_table(packages)
    documents = DocumentSet({"all": debian.documents(chosen, packages)}, table)
    figures, rows = write_raw(documents, config, out, scratch)
    facts: dict[str, Any] = {"dataset": f"debian {config.suite}", "packages": len(packages), "via": index.via}
    return Result({**figures, **facts}, rows, index.sha256())


def _synthetic(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    from xmcpipe.data.raw.documents import DocumentSet
    from xmcpipe.data.raw.writing import write_raw
    from xmcpipe.data.sources import synthetic

    count, num_labels = config.documents or SYNTHETIC_DOCUMENTS, config.labels or SYNTHETIC_LABELS
    batches = synthetic.documents(count, num_labels, config.data_seed)
    table = synthetic.label_table(num_labels, config.data_seed)
    figures, rows = write_raw(DocumentSet({"all": batches}, table), config, out, scratch)
    return Result({**figures, "dataset": "synthetic"}, rows)


MAKERS = {"debian": _debian, "synthetic": _synthetic}
DOWNLOAD = Stage("download", "raw", DownloadConfig, RAW_VERSION, (), run, source)
