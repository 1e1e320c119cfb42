"""The plot of the times: its panels, axes and colours."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xmcpipe.benchmark import plot, timing
from xmcpipe.benchmark.grid import Grid
from xmcpipe.benchmark.run import any_wrong, bench, document

GRID = Grid((64, 128), (4, 8), (16,), (3,), ("float32",), ("forward", "topk"), repeats=1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(timing, "COPIED_BYTES", {"cpu": 1 << 20})
    monkeypatch.setattr(timing, "SWEPT_BYTES", {"cpu": 1 << 20})
    done = [each for _, comparisons in bench(GRID, torch.device("cpu")) for each in comparisons]
    assert not any_wrong(done)
    return document(GRID, torch.device("cpu"), done)


def test_the_document_has_every_comparison_and_no_names_of_hosts(made: dict[str, Any]) -> None:
    import json
    import platform

    found = [(each["labels"], each["fan_in"], each["what"]) for each in made["comparisons"]]
    assert found == [(n, k, what) for n in (64, 128) for k in (4, 8) for what in ("forward", "topk")]
    text = json.dumps(made, allow_nan=False)
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert made["machine"]["torch"] == torch.__version__
    assert made["settings"]["fan_in"] == (4, 8)


def test_a_picture_is_drawn_from_the_document_alone(made: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot.write(tmp_path / "bench.png", made)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_nothing_timed_is_a_picture_too(made: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for each in made["comparisons"]:
        each["floor_ms"] = None
        for result in each["results"]:
            result["ms"] = None
    plot.write(tmp_path / "bench.png", made)
    assert (tmp_path / "bench.png").is_file()


def test_the_size_that_varies_most_is_the_axis() -> None:
    def sizes(grid: Grid) -> list[dict[str, Any]]:
        return [vars(shape) for shape in grid.shapes()]

    assert plot.varied_size(sizes(GRID)) == "fan_in"
    assert plot.varied_size(sizes(replace(GRID, batch=(1, 2, 3)))) == "batch"
