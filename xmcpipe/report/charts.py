"""Charts as Vega-Lite specifications, made with Altair; the JavaScript of the page draws them as SVG.

A run has the same colour in every chart (`colours`). The colours have a contrast of at least 3:1 on white and
on black, and colour-blind readers can distinguish them. The style sheet of the page sets the colours of texts
and axes, so charts are not drawn again for another theme or for printing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from xmcpipe.report.facts.curves import Points

COLOURS = ("#2f7fc1", "#d9630d", "#0f9670", "#b25fa6", "#8a7a1f", "#5f7480", "#c23b4e", "#6c6bd1")
FEW_POINTS = 24  # lines with at most this many points show them
HEIGHT = 190  # of a chart, in pixels
BAR = 11  # height of a horizontal bar, in pixels
INK = "#555"
WIDTHS = (2.8, 1.5)  # of the first run's line and of the other lines, in pixels
Spec = dict[str, Any]


def colours(names: Sequence[str]) -> dict[str, str]:
    """Run -> colour, the same on the whole page; colours repeat after the eighth run."""
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}


def lines(
    series: Mapping[str, Mapping[str, Points]],
    names: Sequence[str],
    y: str,
    unit: str,
    x: str = "epoch",
    log: bool = False,
    zero: bool = False,
    even: bool = False,
    end: float = 0.0,
) -> Spec | None:
    """A chart with a line for each part of each run; None if there are no points.

    `series` maps runs to parts to points; several parts get dash patterns and a legend. `x` and `y` are the
    titles of the axes, and `unit` is the number format (d3-format) of y. `log` makes the y axis logarithmic,
    `zero` starts it at 0, and `even` draws a dashed line at 1. The x axis reaches at least to `end`.
    """
    import altair as alt

    rows = [
        {"run": run, "part": part, "x": at, "y": value}
        for run, parts in series.items()
        for part, points in parts.items()
        for at, value in points
        if not log or value > 0  # a logarithmic axis has no place for 0
    ]
    if not rows:
        return None
    few = max(len(points) for parts in series.values() for points in parts.values()) <= FEW_POINTS
    encodings = _encodings(rows, names, (x, y), unit, log, zero, end)
    dots = {name: each for name, each in encodings.items() if not name.startswith("stroke")}
    layers: list[Any] = [
        alt.Chart().mark_line().encode(**encodings),
        # If there are many points, they are invisible, but still show their values under the mouse pointer.
        alt.Chart().mark_point(filled=True, size=28 if few else 60, opacity=1 if few else 0).encode(**dots),
    ]
    if even:
        rule = alt.Chart(alt.Data(values=[{"y": 1}]))
        layers.insert(0, rule.mark_rule(strokeDash=[4, 4], color="#888").encode(y="y:Q"))
    return _spec(alt.layer(*layers), rows, HEIGHT)


def _encodings(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    titles: tuple[str, str],
    unit: str,
    log: bool,
    zero: bool,
    end: float,
) -> dict[str, Any]:
    """The encodings of a line chart: which column of the rows is shown how. `titles` are those of x and y."""
    import altair as alt

    x, y = titles
    parts = list(dict.fromkeys(row["part"] for row in rows))
    positions = [row["x"] for row in rows]
    first, last = 0.0 if x == "epoch" else min(positions), max(end, *positions)
    # The domain ends slightly beyond the last point: Vega drops a tick that rounding puts outside of it.
    across = alt.Scale(domain=[first, last + 1e-4 * (last - first or 1.0)], nice=False)
    up = alt.Scale(type="log") if log else alt.Scale(zero=zero)
    encodings: dict[str, Any] = {
        "x": alt.X("x:Q", title=x, scale=across, axis=alt.Axis(grid=False, tickCount=6, format="~r")),
        "y": alt.Y(
            "y:Q", title=None, scale=up, axis=_decades(rows) if log else alt.Axis(format=unit, tickCount=5)
        ),
        "color": _colour(names),
        "strokeWidth": _width(names),
        "tooltip": [
            alt.Tooltip("run:N"),
            *([alt.Tooltip("part:N")] if len(parts) > 1 else []),
            alt.Tooltip("x:Q", title=x, format=".2~f"),
            alt.Tooltip("y:Q", title=y, format=unit),
        ],
    }
    if len(parts) > 1:
        legend = alt.Legend(title=None, orient="bottom", symbolStrokeColor=INK)
        encodings["strokeDash"] = alt.StrokeDash("part:N", sort=parts, legend=legend)
    return encodings


def bars(rows: Sequence[Mapping[str, Any]], names: Sequence[str], y: str, unit: str) -> Spec | None:
    """Vertical bars, grouped by bin, with one bar per run; None without rows.

    Rows have the keys bin, run, value, and `detail`, a description of the bin.
    """
    import altair as alt

    if not rows:
        return None
    bins = list(dict.fromkeys(row["bin"] for row in rows))
    chart = (
        alt.Chart()
        .mark_bar(cornerRadiusEnd=1.5)
        .encode(
            # Without `sort`, Vega orders bins and runs by name.
            x=alt.X("bin:N", sort=bins, title=None, axis=alt.Axis(labelAngle=0, ticks=False)),
            xOffset=alt.XOffset("run:N", sort=list(names)),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(format=unit, tickCount=5)),
            color=_colour(names),
            tooltip=[
                alt.Tooltip("run:N"),
                alt.Tooltip("bin:N"),
                alt.Tooltip("detail:N", title="labels"),
                alt.Tooltip("value:Q", title=y, format=unit),
            ],
        )
    )
    return _spec(chart, rows, HEIGHT)


def across(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], x: str, unit: str, order: Sequence[str]
) -> Spec | None:
    """Horizontal bars, grouped by part in the given `order`, with one bar per run; None without rows.

    Rows have the keys part, run, value, and `detail`, the value as text.
    """
    import altair as alt

    if not rows:
        return None
    present = [part for part in order if any(row["part"] == part for row in rows)]
    runs = len({row["run"] for row in rows})
    chart = (
        alt.Chart()
        .mark_bar(cornerRadiusEnd=1.5)
        .encode(
            y=alt.Y(
                "part:N", sort=present, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=150)
            ),
            yOffset=alt.YOffset("run:N", sort=list(names)),
            x=alt.X("value:Q", title=x, axis=alt.Axis(format=unit, tickCount=5)),
            color=_colour(names),
            tooltip=[alt.Tooltip("run:N"), alt.Tooltip("part:N"), alt.Tooltip("detail:N", title=x)],
        )
    )
    return _spec(chart, rows, len(present) * (BAR * runs + 9) + 10)


def reliability(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Spec | None:
    """A reliability diagram with a line for each part of each run; None without rows.

    Rows have the keys run, part, count, x (mean probability of a bin) and y (the fraction of it that is
    right). A dashed diagonal is where both are equal; a point is larger if its bin has more predictions.
    """
    import altair as alt

    if not rows:
        return None
    parts = list(dict.fromkeys(row["part"] for row in rows))
    scale = alt.Scale(domain=[0, 1], nice=False)
    encodings: dict[str, Any] = {
        "x": alt.X("x:Q", title="probability", scale=scale, axis=alt.Axis(format=".0%", tickCount=5)),
        "y": alt.Y("y:Q", title="right", scale=scale, axis=alt.Axis(format=".0%", tickCount=5)),
        "color": _colour(names),
        "tooltip": [
            alt.Tooltip("run:N"),
            alt.Tooltip("part:N"),
            alt.Tooltip("x:Q", title="probability", format=".1%"),
            alt.Tooltip("y:Q", title="right", format=".1%"),
            alt.Tooltip("count:Q", title="predictions", format=","),
        ],
    }
    dash = alt.StrokeDash(
        "part:N",
        sort=parts,
        scale=alt.Scale(domain=parts, range=[[2, 3], [1, 0]][-len(parts) :]),
        legend=alt.Legend(title=None, orient="bottom", symbolStrokeColor=INK) if len(parts) > 1 else None,
    )
    size = alt.Size("count:Q", scale=alt.Scale(range=[12, 160]), legend=None)
    diagonal = alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    chart = alt.layer(
        diagonal.mark_line(strokeDash=[4, 4], color="#888", strokeWidth=1).encode(x="x:Q", y="y:Q"),
        alt.Chart().mark_line().encode(**encodings, strokeDash=dash),
        alt.Chart().mark_point(filled=True).encode(**encodings, size=size),
    )
    return _spec(chart, rows, HEIGHT + 60)


def _colour(names: Sequence[str]) -> Any:
    import altair as alt

    known = colours(names)
    scale = alt.Scale(domain=list(known), range=list(known.values()))
    return alt.Color("run:N", scale=scale, legend=None)


def _decades(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A logarithmic axis with grid lines at powers of ten only; by default there are nine per decade."""
    import math

    import altair as alt

    exponents = [math.log10(row["y"]) for row in rows]
    first, last = math.floor(min(exponents)), math.ceil(max(exponents))
    return alt.Axis(format="~g", values=[10.0**power for power in range(first, last + 1)])


def _width(names: Sequence[str]) -> Any:
    """The encoding of line widths: the first run's line is wider, so it shows under a line that covers it."""
    import altair as alt

    if len(names) == 1:  # a scale over one value has no step, and returns NaN
        return alt.value(sum(WIDTHS) / 2)
    widths = [WIDTHS[0], *[WIDTHS[1]] * (len(names) - 1)]
    return alt.StrokeWidth("run:O", scale=alt.Scale(domain=list(names), range=widths), legend=None)


def _spec(chart: Any, rows: Sequence[Mapping[str, Any]], height: int) -> Spec:
    """The chart of these rows as a Vega-Lite specification, as wide as its container, with light axes.

    The rows are added last, because Altair copies all data of a chart at every step.
    """
    import altair as alt

    chart.data = alt.Data(values=[])
    chart = chart.properties(
        width="container", height=height, autosize={"type": "fit-x", "contains": "padding"}
    )
    chart = chart.configure(font="system-ui, sans-serif", background="transparent")
    chart = chart.configure_view(stroke=None)
    chart = chart.configure_axis(
        labelColor=INK, titleColor=INK, gridColor="#e4e4e4", domainColor="#bbb", tickColor="#bbb",
        labelFontSize=11, titleFontSize=11, titleFontWeight="normal", titlePadding=6,
    )  # fmt: skip
    spec: Spec = chart.configure_legend(labelColor=INK, labelFontSize=11).to_dict()
    return {**spec, "data": {"values": list(rows)}}
