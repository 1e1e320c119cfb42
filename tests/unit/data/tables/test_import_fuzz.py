"""A fuzz of imports by kinds of mistakes: each file is read right, warned about, or refused.

`python -m tests.bench.import_fuzz` counts the outcomes of more files.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.data.tables.fuzz_cases import KINDS, outcome


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_nothing_is_misread_in_silence(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    case = data.draw(KINDS[kind])
    assert outcome(case, tmp_path) != "misread"
