"""Fixtures of the unit tests."""

import logging
from collections.abc import Iterator

import pytest

from tests.unit.fake_stages import World, make_world


@pytest.fixture
def world() -> World:
    """Fake stages, and what they did."""
    return make_world()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The package's warnings. Not caplog, which listens where they don't come once a command has run."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("xmcpipe")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)
