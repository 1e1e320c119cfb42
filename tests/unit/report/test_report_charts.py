"""The contents of chart specs."""

import pytest

from xmcpipe.report import charts


@pytest.mark.parametrize(
    ("names", "width"), [(["a"], {"value"}), (["a", "b"], {"field", "type", "legend", "scale"})]
)
def test_lines_have_a_width_and_their_last_tick(names: list[str], width: set[str]) -> None:
    spec = charts.lines({name: {"": [(0.5, 1.0), (2.0, 3.0)]} for name in names}, names, "loss", ".1f")
    assert spec
    line = spec["layer"][0]["encoding"]
    assert line["strokeWidth"].keys() == width
    first, last = line["x"]["scale"]["domain"]
    assert first == 0.0
    assert 2.0 < last < 2.001
