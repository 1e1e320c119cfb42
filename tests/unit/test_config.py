from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcpipe.config import from_table, later, nearest, runtime, to_table
from xmcpipe.errors import XmcpipeError


@dataclass(frozen=True)
class Inner:
    lr: float = 0.1
    workers: int = runtime(2)


@dataclass(frozen=True)
class Grown:
    lr: float = 0.1
    titles: bool = later(False)
    rate: float = later(2.0, of="titles")


@dataclass(frozen=True)
class Config:
    encoder: str
    epochs: int = 3
    shuffle: bool = True
    k: tuple[int, ...] = (1, 3)
    mode: Literal["fraction", "threshold"] = "fraction"
    test: str | None = None
    inner: Inner = field(default_factory=Inner)
    device: str = runtime("auto")

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"expected epochs >= 1, got epochs = {self.epochs}")


def test_a_table_becomes_the_typed_config_and_back() -> None:
    table = {"encoder": "e", "k": [1, 5], "test": "t.csv", "inner": {"lr": 1}, "mode": "threshold"}
    config = from_table(Config, table, "train")
    assert config == Config("e", k=(1, 5), test="t.csv", inner=Inner(lr=1.0), mode="threshold")
    assert isinstance(config.inner.lr, float)
    assert from_table(Config, to_table(config), "train") == config
    assert from_table(Config, to_table(Config("e")), "train") == Config("e")


def test_the_identity_omits_runtime_keys_only() -> None:
    identity = to_table(Config("e"), keys="identity")
    assert "device" not in identity
    assert identity["inner"] == {"lr": 0.1}
    assert to_table(Config("e"))["inner"] == {"lr": 0.1, "workers": 2}
    assert to_table(Config("e"), keys="computed") == identity
    assert identity == to_table(Config("e", device="cuda", inner=Inner(workers=9)), keys="identity")


def test_a_key_that_came_later_renames_nothing_that_does_not_set_it() -> None:
    assert to_table(Grown(), keys="identity") == {"lr": 0.1}
    assert to_table(Grown(rate=3.0), keys="identity") == {"lr": 0.1}  # a rate of nothing
    assert to_table(Grown(titles=True), keys="identity") == {"lr": 0.1, "titles": True, "rate": 2.0}
    assert from_table(Grown, {"lr": 0.1}, "train") == Grown()
    assert (
        to_table(Grown())
        == to_table(Grown(), keys="computed")
        == {
            "lr": 0.1,
            "titles": False,
            "rate": 2.0,
        }
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"encoder": "e", "epoch": 1}, r"train: there is no key 'epoch' \(did you mean 'epochs'\?\)"),
        ({"encoder": "e", "zzzz": 1}, r"there is no key 'zzzz' \(known keys: encoder, epochs"),
        ({}, r"train: the key 'encoder' is missing \(add encoder"),
        ({"encoder": 3}, "train.encoder: expected a string, got 3"),
        ({"encoder": "e", "epochs": "3"}, "train.epochs: expected a whole number, got '3'"),
        ({"encoder": "e", "epochs": 3.0}, "expected a whole number, got 3.0"),
        ({"encoder": "e", "epochs": True}, "expected a whole number, got True"),
        ({"encoder": "e", "epochs": 0}, "train: expected epochs >= 1, got epochs = 0"),
        ({"encoder": "e", "shuffle": 1}, "expected true or false, got 1"),
        ({"encoder": "e", "k": 1}, "train.k: expected a list, got 1"),
        ({"encoder": "e", "k": [1, "3"]}, "train.k: expected a whole number, got '3'"),
        (
            {"encoder": "e", "mode": "frction"},
            "train.mode: expected one of 'fraction', 'threshold', got 'frction'",
        ),
        ({"encoder": "e", "test": 3}, "train.test: expected a string, got 3"),
        ({"encoder": "e", "inner": {"lr": "x"}}, "train.inner.lr: expected a number, got 'x'"),
        ({"encoder": "e", "inner": {"lr": float("nan")}}, "expected a finite number, got nan"),
        ({"encoder": "e", "inner": {"rl": 1}}, r"train.inner: there is no key 'rl' \(did you mean 'lr'"),
        ({"encoder": "e", "inner": 3}, "train.inner: expected a table, got 3"),
    ],
)
def test_an_error_states_the_expected_value(table: dict[str, Any], message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        from_table(Config, table, "train")


def test_a_literal_of_numbers_takes_no_boolean_for_one() -> None:
    @dataclass(frozen=True)
    class Numbers:
        order: Literal[1, 2] = 1

    assert from_table(Numbers, {"order": 2}, "x").order == 2
    with pytest.raises(XmcpipeError, match="expected one of 1, 2, got True"):
        from_table(Numbers, {"order": True}, "x")


@given(st.sampled_from(["epochs", "encoder", "shuffle"]), st.integers(0, 4))
def test_a_key_with_one_letter_missing_names_the_right_one(key: str, position: int) -> None:
    assert (
        nearest(key[:position] + key[position + 1 :], ["epochs", "encoder", "shuffle"])
        == f"did you mean {key!r}?"
    )
