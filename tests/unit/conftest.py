"""Fixtures of the unit tests."""

import pytest
from fake_stages import World, make_world


@pytest.fixture
def world() -> World:
    """Fake stages, and what they did."""
    return make_world()
