"""A section of the page: charts, tables and notes."""

from dataclasses import dataclass, field

from xmcpipe.report.cells import Table
from xmcpipe.report.charts import Spec


@dataclass(frozen=True)
class Figure:
    """A chart with its title and a caption that explains it; a `wide` one fills the width of the page."""

    title: str
    caption: str
    spec: Spec
    wide: bool = False


@dataclass
class Section:
    """The charts and tables of a section. `notes` state what is missing, and why."""

    figures: list[Figure] = field(default_factory=list)
    tables: list[tuple[str, Table]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, title: str, caption: str, spec: Spec | None, wide: bool = False) -> bool:
        """Add a chart unless it is empty (None); returns whether it was added."""
        if spec is not None:
            self.figures.append(Figure(title, caption, spec, wide))
        return spec is not None
