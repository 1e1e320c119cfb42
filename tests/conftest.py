"""Fixtures for all tests: the available devices, a tiny encoder on disk, and a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.encoders import write_encoder

# Speed is measured by benchmarks: no test may fail because a machine is slow.
settings.register_profile("xmcpipe", deadline=None, max_examples=50)
settings.load_profile("xmcpipe")

WORDS = [f"word{number}" for number in range(200)]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `device` on CPU and GPU; the GPU run has the marker `gpu`."""
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


@pytest.fixture(autouse=True)
def _unlimited_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are not folded: pytest-xdist sets the variable COLUMNS of its workers."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _needs_gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of save_pretrained: a BERT of 2 layers and 32 features, with a tokenizer of 200 words."""
    return write_encoder(tmp_path_factory.mktemp("encoder"), WORDS)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """The id of a test with bytes as a parameter: the parameter's name, which pytest numbers.

    The bytes of an archive hold the time, so the workers of a run would collect tests of different names.
    """
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """An installed Chromium or Chrome, without a window. Playwright downloads none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright isn't installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()
