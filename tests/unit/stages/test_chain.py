from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_stages import FetchConfig, ReadConfig, StepConfig, World
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.chain import Chain
from xmcpipe.stages.runner import Runner

ALL = ("tokenize", "cluster", "train")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("text")
    return path


def chain(world: World, store: Path, configs: dict[str, Any], **given: Artifact) -> Chain:
    return Chain(Store(store), configs, given, world.catalog)


def imported(source: Path, **changes: dict[str, Any]) -> dict[str, Any]:
    steps = {name: StepConfig(**changes.get(name, {})) for name in ALL}
    return {"import": ReadConfig(str(source)), **steps}


def names(world: World, store: Path, configs: dict[str, Any]) -> dict[str, str | None]:
    return {step.stage.name: step.fingerprint for step in chain(world, store, configs).steps()}


def test_an_import_and_all_after_it_have_names_before_anything_ran(
    world: World, tmp_path: Path, source: Path
) -> None:
    steps = chain(world, tmp_path / "store", imported(source)).steps()
    assert [step.stage.name for step in steps] == ["import", "tokenize", "cluster", "train"]
    assert all(step.fingerprint and len(step.fingerprint) == 64 for step in steps)
    assert all(step.artifact is None for step in steps)
    assert world.runs == []


def test_a_changed_key_renames_its_stage_and_all_that_depend_on_it(
    world: World, tmp_path: Path, source: Path
) -> None:
    before = names(world, tmp_path, imported(source))

    def changed(**changes: dict[str, Any]) -> set[str]:
        after = names(world, tmp_path, imported(source, **changes))
        return {name for name in before if before[name] != after[name]}

    assert changed() == set()
    assert changed(tokenize={"size": 2}) == {"tokenize", "cluster", "train"}
    assert changed(cluster={"seed": 5}) == {"cluster", "train"}
    assert changed(train={"size": 2}) == {"train"}
    assert changed(tokenize={"threads": 64}) == set()
    source.write_text("other text")
    assert changed() == {"import", "tokenize", "cluster", "train"}


def test_paths_and_file_names_are_not_part_of_a_fingerprint(
    world: World, tmp_path: Path, source: Path
) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_text("text")
    before, after = (names(world, tmp_path, imported(path)) for path in (source, copy))
    assert (
        before["import"] != after["import"]
    )  # the path is a key of this config; a stage may declare it as runtime


def test_stages_after_a_download_have_no_name_until_it_exists(world: World, tmp_path: Path) -> None:
    configs = {"download": FetchConfig(), "tokenize": StepConfig()}
    assert names(world, tmp_path, configs) == {"download": None, "tokenize": None}
    Runner(chain(world, tmp_path, configs)).run_one("download")
    named = names(world, tmp_path, configs)
    assert None not in named.values()
    world.bytes_on_net = "v2"
    assert names(world, tmp_path, configs) == named
    assert names(world, tmp_path, {**configs, "download": FetchConfig(mirror="far")}) == named
    assert names(world, tmp_path, {**configs, "download": FetchConfig("large")})["download"] is None


def test_the_latest_of_several_downloads_counts(world: World, tmp_path: Path) -> None:
    configs = {"download": FetchConfig()}
    first = Runner(chain(world, tmp_path, configs)).run_one("download").artifact
    world.bytes_on_net = "v2"
    second = Runner(chain(world, tmp_path, configs)).run_one("download", force=True).artifact
    assert first.path != second.path
    assert first.path.exists()
    assert names(world, tmp_path, configs)["download"] == second.manifest.fingerprint


def test_clusters_are_an_input_if_the_chain_has_them(world: World, tmp_path: Path, source: Path) -> None:
    with_clusters = imported(source)
    without = {name: config for name, config in with_clusters.items() if name != "cluster"}
    assert chain(world, tmp_path, with_clusters).inputs(world.catalog[-1]) == ["shards", "clusters"]
    assert chain(world, tmp_path, without).inputs(world.catalog[-1]) == ["shards"]
    without["train"] = StepConfig(auxiliary=0.4)
    with pytest.raises(XmcpipeError, match=r"train needs clusters.*add \[cluster\]"):
        chain(world, tmp_path, without).steps()


def test_an_artifact_from_outside_replaces_its_stage(world: World, tmp_path: Path, source: Path) -> None:
    made = Runner(chain(world, tmp_path / "a", imported(source))).run_one("import").artifact
    lone = chain(world, tmp_path / "b", {"tokenize": StepConfig()}, raw=made)
    outcome = Runner(lone).run_one("tokenize")
    assert outcome.artifact.manifest.inputs == {"raw": made.manifest.fingerprint}
    assert (outcome.artifact.path / "out.txt").read_text() == "tokenize(1import())"
    with pytest.raises(XmcpipeError, match=r"expected an artifact of kind 'shards', got one of kind 'raw'"):
        chain(world, tmp_path / "b", {"train": StepConfig()}, shards=made)


def test_a_missing_input_names_the_first_command_to_run(world: World, tmp_path: Path, source: Path) -> None:
    runner = Runner(chain(world, tmp_path / "store", imported(source)))
    with pytest.raises(XmcpipeError, match=r"train needs shards, which isn't in .*run `xmcpipe import`"):
        runner.run_one("train")
    runner.run_one("import")
    with pytest.raises(XmcpipeError, match=r"run `xmcpipe tokenize`"):
        runner.run_one("train")
    runner.run_one("tokenize")
    with pytest.raises(XmcpipeError, match=r"train needs clusters.*run `xmcpipe cluster`"):
        runner.run_one("train")
    runner.run_one("cluster")
    assert runner.run_one("train").made
    with pytest.raises(XmcpipeError, match=r"tokenize needs raw.*\[download\] or \[import\].*--raw PATH"):
        Runner(chain(world, tmp_path, {"tokenize": StepConfig()})).run_one("tokenize")


def test_an_unknown_stage_names_the_nearest(world: World, tmp_path: Path, source: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"no stage 'tokenise'.*did you mean 'tokenize'"):
        chain(world, tmp_path, imported(source)).stage("tokenise")
