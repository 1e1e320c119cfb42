"""Two finished runs, a sparse and a dense one, in a store of their own."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.report_store import make_runs
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.report.facts.runs import Run, named, read_run


@dataclass(frozen=True)
class Shelf:
    """A store, and the folders of the metrics in it."""

    store: Store
    metrics: list[Path]

    def runs(self) -> list[Run]:
        """The runs as a report reads them."""
        return named([read_run(Artifact.at(path), self.store) for path in self.metrics])

    def lose(self, kind: str) -> None:
        """Remove every artifact of a kind."""
        shutil.rmtree(self.store.root / kind)


@pytest.fixture(scope="session")
def finished_shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The finished runs, made once, for tests that do not change them."""
    return Shelf(*make_runs(tmp_path_factory.mktemp("shelf") / "store"))


@pytest.fixture
def shelf(finished_shelf: Shelf, tmp_path: Path) -> Shelf:
    """A copy of the finished runs, for tests that change it."""
    root = finished_shelf.store.root
    shutil.copytree(root, tmp_path / "store")
    return Shelf(
        Store(tmp_path / "store"),
        [tmp_path / "store" / path.relative_to(root) for path in finished_shelf.metrics],
    )
