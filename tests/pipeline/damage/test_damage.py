"""A small part of what `make soak` does to disks, files and inputs (tests/bench/damage)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.damage import disk_errors, flipped_bits, fuzzed_inputs
from tests.bench.damage.forked import KINDS, Forks, compile_failing_disk
from tests.bench.damage.world import World

GOOD = {"same", "error"}


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: the library that lets calls fail can't be made")
    with Forks(compile_failing_disk(tmp_path_factory.mktemp("library"))) as forks:
        yield forks


@pytest.fixture(scope="module")
def world(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.make(tmp_path_factory.mktemp("world"), forks, names=("paper",))


@pytest.mark.slow
def test_disk_errors(world: World, forks: Forks, tmp_path: Path) -> None:
    tries = list(disk_errors.tries(world, forks, tmp_path / "copy", len(KINDS), 0, ("eval",)))
    assert {each.fault.kind for each in tries} >= {"read", "write", "sync", "rename"}
    assert [each for each in tries if each.outcome not in GOOD] == []
    assert any(each.outcome == "error" for each in tries)


@pytest.mark.slow
def test_flipped_bits(world: World, forks: Forks, tmp_path: Path) -> None:
    found = list(flipped_bits.flips(world, forks, tmp_path / "copy", 3, 0))
    assert [each for each in found if each[1] not in GOOD] == []
    assert any(outcome == "error" for _, outcome, _ in found)


def test_fuzzed_inputs(world: World, forks: Forks, tmp_path: Path) -> None:
    kinds = ("import", "recipe", "manifest")
    found = list(fuzzed_inputs.tries(world, forks, tmp_path / "copy", 6, 0, kinds))
    assert [each for each in found if each[1] not in GOOD] == []
    assert {kind for kind, _, _ in found} == {*kinds}
