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
def log_lines() -> Iterator[list[str]]:
    """The messages of warnings that the package logs.

    caplog would miss them: once a command has run, the package's logger no longer propagates.
    """
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("xmcpipe")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)
