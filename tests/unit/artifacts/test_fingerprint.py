import hashlib
from pathlib import Path

import pytest

from xmcpipe.artifacts.fingerprint import CHUNK_BYTES, fingerprint, sha256_of_file

CONFIG = {"max_length": 128, "encoder": "a", "nested": {"lr": 0.1}}


def test_it_is_a_hash_of_canonical_json_that_stays_the_same_over_versions_of_this_program() -> None:
    text = '{"config":{"a":1},"inputs":{"raw":"00"},"schema_version":2,"stage":"tokenize"}'
    assert fingerprint("tokenize", 2, {"a": 1}, {"raw": "00"}) == hashlib.sha256(text.encode()).hexdigest()


def test_the_order_of_keys_is_no_part_of_it() -> None:
    turned = dict(reversed(CONFIG.items()))
    assert fingerprint("s", 1, CONFIG, {"a": "1", "b": "2"}) == fingerprint(
        "s", 1, turned, {"b": "2", "a": "1"}
    )


@pytest.mark.parametrize(
    "other",
    [
        ("t", 1, CONFIG, {"raw": "0"}),
        ("s", 2, CONFIG, {"raw": "0"}),
        ("s", 1, {**CONFIG, "max_length": 129}, {"raw": "0"}),
        ("s", 1, {**CONFIG, "nested": {"lr": 0.2}}, {"raw": "0"}),
        ("s", 1, CONFIG, {"raw": "1"}),
        ("s", 1, CONFIG, {"shards": "0"}),
        ("s", 1, CONFIG, {}),
    ],
)
def test_each_part_of_the_identity_changes_it(
    other: tuple[str, int, dict[str, object], dict[str, str]],
) -> None:
    assert fingerprint("s", 1, CONFIG, {"raw": "0"}) != fingerprint(*other)


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint("s", 1, {"x": float("nan")}, {})


def test_a_file_is_hashed_to_its_end(tmp_path: Path) -> None:
    data = b"x" * (2 * CHUNK_BYTES) + b"end"
    (tmp_path / "file").write_bytes(data)
    assert sha256_of_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
