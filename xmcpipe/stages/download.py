"""`download`: fetches a public dataset by its name and prepares it, like imported data, as the raw artifact.

The datasets of the registry (xmcpipe/data/datasets.toml) come with their own split, and published figures are
for exactly that split. By default, therefore, none of their documents and labels are dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmcpipe.artifacts.versions import RAW_VERSION
from xmcpipe.config import file_path, later, nearest, runtime
from xmcpipe.data import registry
from xmcpipe.data.raw.policies import AS_GIVEN, Policies
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.stage import Result, Stage

SYNTHETIC_DOCUMENTS, SYNTHETIC_LABELS = 4000, 500
MOST = {"documents": 10**9, "labels": 10**7, "data_seed": 2**63 - 1}


@dataclass(frozen=True, kw_only=True)
class DownloadConfig(Policies):
    """The recipe table [download]: which dataset, from where, and (Policies) which documents to keep."""

    dataset: str
    """Name of the dataset: one that `xmcpipe datasets` lists, "debian" (a package index), or "synthetic"
    (generated text).
    """

    archive: str | None = file_path()
    """Archive that you downloaded by hand, or its unpacked folder; no mirror is used then. Only for datasets
    of the registry.
    """

    titles_only: bool = later(False)
    """Whether the text of a document (and of a label) is its title alone. Mirrors without separate titles are
    not used then. Only for datasets of the registry.
    """

    documents: int = 0
    """Number of documents before any are dropped; 0 is all packages for debian, and 4,000 documents for
    synthetic. Only for these two.
    """

    labels: int = 0
    """Number of labels to generate for synthetic; 0 generates 500."""

    data_seed: int = 0
    """Seed of the choice of debian documents, or of the synthetic text. It is separate from `seed`, so that
    runs with different seeds use the same data.
    """

    suite: str = "bookworm"
    """Debian release whose package index is read (component main, architecture amd64)."""

    mirror: str = runtime("http://deb.debian.org/debian")
    """URL of the debian mirror. `http:` becomes `https:` if there is no apt-get to verify the index."""

    via: Literal["auto", "apt", "https"] = runtime("auto")
    """How the debian index is fetched: "apt", "https" or "auto", which uses apt-get if it is installed and
    works, and HTTPS otherwise.
    """

    min_label_count: int = 2
    """Minimum number of training documents of a label: labels with fewer are dropped from both splits."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range, or for a key that this dataset does not have."""
        super().__post_init__()
        for name, most in MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"expected 0 <= {name} <= {most:,}, got {name} = {getattr(self, name)}")
        # Registered and generated datasets have different keys. A key of the other kind is an error: ignoring
        # it would hide a mistake.
        registered = self.dataset in registry.datasets()
        if not registered and self.dataset not in MAKERS:
            known = [*registry.datasets(), *MAKERS]
            raise XmcpipeError(
                f"download.dataset: there is no dataset {self.dataset!r}", nearest(self.dataset, known)
            )
        others = ("documents", "labels", "data_seed") if registered else ("archive", "titles_only")
        for name in others:
            if getattr(self, name):
                raise ValueError(f"{name} can't be set: the dataset {self.dataset} has no such key")

    @staticmethod
    def defaults(table: Mapping[str, Any]) -> Mapping[str, Any]:
        """The defaults that differ from those of the class, for the dataset that `table` names."""
        return AS_GIVEN if str(table.get("dataset")) in registry.datasets() else {}


def source(config: DownloadConfig) -> str | None:
    """The sha256 of an archive that was downloaded by hand; None if the data comes from the network."""
    if config.archive is None:
        return None
    from xmcpipe.data.sources.registered import source_of, text_mirrors_in_hint

    with text_mirrors_in_hint(registry.find(config.dataset)):
        return source_of(Path(config.archive))


def run(config: DownloadConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Write the raw artifact into `out`. An interrupted download in `scratch` is resumed.

    Raises XmcpipeError for an error of the network, a mirror, an archive or an index.
    """
    return MAKERS.get(config.dataset, _registered)(config, out, scratch)


def _registered(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    """Make the raw artifact of a dataset of the registry."""
    from xmcpipe.data.sources.registered import DatasetWriter

    dataset = registry.find(config.dataset)
    # If the dataset has titles only, every text is a title in any layout, so no mirror is excluded.
    titles_only = config.titles_only and dataset.text_fields != registry.TITLE
    writer = DatasetWriter(dataset, config, out, scratch, titles_only)
    archive = source(config)
    raw = writer.from_path(Path(str(config.archive)), archive) if archive else writer.from_mirrors()
    return Result(raw.figures, raw.rows, raw.source)


def _debian(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    """Make the raw artifact of a Debian release."""
    from xmcpipe.data.raw.documents import DocumentSet
    from xmcpipe.data.raw.writing import write_raw
    from xmcpipe.data.sources import debian
    from xmcpipe.data.sources.debian_index import fetch_index

    # A chosen document may depend on any package, so the label table has all packages.
    index = fetch_index(config.mirror, config.suite, config.via, scratch)
    packages = debian.read_packages(index)
    chosen = debian.choose(packages, config.documents, config.data_seed)
    table = debian.label_table(packages)
    documents = DocumentSet({"all": debian.documents(chosen, packages)}, table)
    figures, rows = write_raw(documents, config, out, scratch)
    facts: dict[str, Any] = {"dataset": f"debian {config.suite}", "packages": len(packages), "via": index.via}
    return Result({**figures, **facts}, rows, index.sha256())


def _synthetic(config: DownloadConfig, out: Path, scratch: Path) -> Result:
    """Make the raw artifact of generated text."""
    from xmcpipe.data.raw.documents import DocumentSet
    from xmcpipe.data.raw.writing import write_raw
    from xmcpipe.data.sources import synthetic

    count, num_labels = config.documents or SYNTHETIC_DOCUMENTS, config.labels or SYNTHETIC_LABELS
    batches = synthetic.documents(count, num_labels, config.data_seed)
    table = synthetic.label_table(num_labels, config.data_seed)
    figures, rows = write_raw(DocumentSet({"all": batches}, table), config, out, scratch)
    return Result({**figures, "dataset": "synthetic"}, rows)


MAKERS = {"debian": _debian, "synthetic": _synthetic}
DOWNLOAD = Stage(
    name="download",
    kind="raw",
    config=DownloadConfig,
    schema_version=RAW_VERSION,
    inputs=(),
    run=run,
    source=source,
    help="Fetch a public dataset.",
)
