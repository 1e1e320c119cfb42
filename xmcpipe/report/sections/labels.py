"""The section on single labels: those that each run predicts best and worst."""

from collections.abc import Sequence

from xmcpipe.report.cells import Cell, Row, Table, percent
from xmcpipe.report.facts.labels import LabelFigures
from xmcpipe.report.facts.measurement import RunMeasurement
from xmcpipe.report.sections.section import Section


def labels(names: Sequence[str], measurements: Sequence[RunMeasurement]) -> Section:
    """Two tables for each run that could be measured again."""
    section = Section()
    for name, measurement in zip(names, measurements, strict=True):
        found = measurement.labels
        if found is None:
            section.notes.append(f"No labels of {name}: its predictions or shards were deleted.")
            continue
        whose = f"{name}: " if len(names) > 1 else ""
        which = f"{found.least} or more test documents" if found.least > 1 else "a test document"
        for title, rows in (("highest", found.best), ("lowest", found.worst)):
            section.tables.append(
                (f"{whose}{title} F1@{found.k}, labels with {which}", _table(rows, found.k))
            )
    return section


def _table(rows: Sequence[LabelFigures], k: int) -> Table:
    heads = [f"F1@{k}", f"precision@{k}", f"recall@{k}", "in the test", "in training"]
    return Table(
        heads,
        [
            Row(
                "label",
                each.name,
                each.text,
                [
                    Cell(percent(each.f1, 1)),
                    Cell(percent(each.precision, 1)),
                    Cell(percent(each.recall, 1)),
                    Cell(f"{each.support:,}"),
                    Cell(f"{each.documents:,}"),
                ],
            )
            for each in rows
        ],
    )
