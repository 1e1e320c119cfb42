"""Every key of every stage's table is documented under its field."""

import re
from dataclasses import dataclass, field

import pytest

from xmcpipe.config import documentation, later, runtime
from xmcpipe.stages.catalog import CATALOG
from xmcpipe.stages.stage import Stage

STAGES = [pytest.param(stage, id=stage.name) for stage in CATALOG]
SENTENCE = re.compile(r'^[A-Z"`].*?[.](\s|$)')


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    """Learning rate,
    at its peak.
    """

    plain: int = 0


@dataclass(frozen=True)
class Base:
    """The docstring of the class is that of no key."""

    first: int = 0
    """First key."""

    second: int = runtime(0)
    """Second key of the base."""


@dataclass(frozen=True)
class Derived(Base):
    second: int = later(1)
    """Second key, redefined."""

    inner: Inner = field(default_factory=Inner)
    last: str = ""
    """Last key."""

    def method(self) -> None:
        """Not a key."""


def test_keys_come_in_order_with_dots_for_nested_tables() -> None:
    assert documentation(Derived) == {
        "first": "First key.",
        "second": "Second key, redefined.",
        "inner.rate": "Learning rate, at its peak.",
        "inner.plain": "",
        "last": "Last key.",
    }


@pytest.mark.parametrize("stage", STAGES)
def test_every_key_of_a_stage_has_a_complete_sentence(stage: Stage) -> None:
    documents = documentation(stage.config)
    assert documents
    for key, text in documents.items():
        assert SENTENCE.match(text), f"{key}: {text!r}"
        assert len(text.split()) >= 3, f"{key}: {text!r}"
