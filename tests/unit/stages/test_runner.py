import errno
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_stages import FetchConfig, StepConfig, World
from xmcpipe.artifacts.owner import HOST, machine
from xmcpipe.artifacts.store import Store
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.chain import Chain
from xmcpipe.stages.provenance import Meter
from xmcpipe.stages.runner import Runner
from xmcpipe.stages.stage import Result

NAMES = ["download", "tokenize", "cluster", "train"]
CONFIGS = {"download": FetchConfig(), **{name: StepConfig() for name in NAMES[1:]}}


def runner(world: World, store: Path, **configs: Any) -> Runner:
    return Runner(Chain(Store(store), {**CONFIGS, **configs}, catalog=world.catalog), ["xmcpipe", "run"])


def run(world: World, store: Path, start: str | None = None, **more: Any) -> list[str]:
    """Run the chain; returns the stages that ran."""
    world.runs.clear()
    outcomes = list(runner(world, store).run(start, **more))
    assert [outcome.stage.name for outcome in outcomes if outcome.made] == world.runs
    return list(world.runs)


def left_in(store: Path) -> list[str]:
    return sorted(path.name for path in store.glob(".building/*"))


def test_a_second_run_reuses_everything(world: World, tmp_path: Path) -> None:
    assert run(world, tmp_path) == NAMES
    assert run(world, tmp_path) == []
    model = next(Store(tmp_path).all("model"))
    assert (model.path / "out.txt").read_text() == (
        "train(1cluster(1tokenize(1download()))tokenize(1download()))"
    )
    assert left_in(tmp_path) == []
    assert list(tmp_path.glob(".scratch/*")) == []


def test_a_changed_key_runs_exactly_the_dependent_stages(world: World, tmp_path: Path) -> None:
    run(world, tmp_path)
    world.runs.clear()
    list(runner(world, tmp_path, cluster=StepConfig(seed=1)).run())
    assert world.runs == ["cluster", "train"]
    world.runs.clear()
    list(runner(world, tmp_path, cluster=StepConfig(threads=8)).run())
    assert world.runs == []


def test_from_to_and_force_select_the_stages_that_run(world: World, tmp_path: Path) -> None:
    assert run(world, tmp_path, stop="cluster") == NAMES[:3]
    assert run(world, tmp_path, start="cluster") == ["cluster", "train"]
    assert run(world, tmp_path, start="tokenize", stop="tokenize") == ["tokenize"]
    assert run(world, tmp_path) == []
    assert run(world, tmp_path, force=True) == NAMES
    with pytest.raises(XmcpipeError, match=r"--from train comes after --to tokenize"):
        runner(world, tmp_path).run("train", "tokenize")
    with pytest.raises(XmcpipeError, match=r"no stage 'trian'.*did you mean 'train'"):
        runner(world, tmp_path).run("trian")


@pytest.mark.parametrize("left", ["folder", "lock", "both"])
def test_what_a_run_left_that_was_killed_after_it_had_published(
    world: World, tmp_path: Path, left: str
) -> None:
    """Nobody resumes an artifact that is there: the next run removes what is left, however new."""
    run(world, tmp_path, stop="tokenize")
    name = f"shards-{next(tmp_path.glob('shards/*')).name}"
    scratch = tmp_path / ".scratch"
    if left != "lock":
        dead = scratch / f"{name}.{HOST}.{machine()}.4194305-1.0123abcd"  # pids are at most 2^22
        dead.mkdir()
        (dead / "checkpoint").write_text("of an artifact that exists")
    if left != "folder":
        (scratch / f"{name}.lock").touch()
    assert run(world, tmp_path, stop="tokenize") == []
    assert list(scratch.iterdir()) == []


def test_a_stage_refuses_damaged_inputs(world: World, tmp_path: Path) -> None:
    run(world, tmp_path, stop="cluster")
    path = next(tmp_path.glob("shards/*/out.txt"))
    path.write_text(path.read_text().replace("1", "3"))
    with pytest.raises(XmcpipeError, match=r"shards/.*out\.txt was changed: .*`xmcpipe tokenize --force`"):
        run(world, tmp_path)
    assert world.runs == []
    list(Runner(runner(world, tmp_path).chain, verify=False).run())
    assert world.runs == ["train"]


def test_a_reader_that_fails_on_a_damaged_file_is_one_line(world: World, tmp_path: Path) -> None:
    run(world, tmp_path, stop="cluster")
    world.faults["train"] = KeyError("a column")
    with pytest.raises(KeyError):  # the inputs are whole
        run(world, tmp_path)
    path = next(tmp_path.glob("clusters/*/out.txt"))
    path.write_text("")
    with pytest.raises(XmcpipeError, match=r"clusters/.*out\.txt was changed: .*`xmcpipe cluster --force`"):
        list(Runner(runner(world, tmp_path).chain, verify=False).run())


def test_a_new_download_reruns_the_dependent_stages(world: World, tmp_path: Path) -> None:
    run(world, tmp_path)
    world.bytes_on_net = "v2"
    assert run(world, tmp_path) == []
    assert run(world, tmp_path, force=True, stop="download") == ["download"]
    assert run(world, tmp_path) == NAMES[1:]


def test_a_new_download_counts_also_if_the_clock_was_set_back(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(world, tmp_path)
    world.bytes_on_net = "v2"
    started = datetime(1999, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("xmcpipe.stages.runner.Meter", partial(Meter, started))
    assert run(world, tmp_path, force=True, stop="download") == ["download"]
    assert run(world, tmp_path) == NAMES[1:]
    assert sorted(each.manifest.made_by["order"] for each in Store(tmp_path).all("raw")) == [1, 2]


def test_the_manifest_records_inputs_and_versions(world: World, tmp_path: Path) -> None:
    outcomes = list(runner(world, tmp_path, tokenize=StepConfig(threads=7)).run())
    raw, shards = (outcome.artifact.manifest for outcome in outcomes[:2])
    assert raw.inputs == {"source": "v1"}
    assert shards.inputs == {"raw": raw.fingerprint}
    assert shards.config == {"size": 1, "seed": 0, "auxiliary": 0.0}
    assert shards.made_by["runtime"] == {"threads": 7}
    assert shards.outputs["out.txt"].rows == 1
    assert shards.figures == {"documents": 49677, "share": 0.25}
    made_by = shards.made_by
    assert made_by["command"] == ["xmcpipe", "run"]
    assert made_by["libraries"]["numpy"].count(".") == 2
    assert made_by["host"] == os.uname().nodename
    assert made_by["peak_rss_bytes"] > 1 << 20
    assert 0 <= made_by["seconds"] < 60
    assert all(outcome.artifact.faults() == [] for outcome in outcomes)
    assert json.loads((outcomes[1].artifact.path / "manifest.json").read_text())["stage"] == "tokenize"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(1)])
def test_a_stage_that_fails_leaves_nothing_but_its_scratch(
    world: World, tmp_path: Path, name: str, fault: BaseException
) -> None:
    world.faults[name] = fault
    with pytest.raises(type(fault)):
        run(world, tmp_path)
    assert [artifact.manifest.stage for artifact in Store(tmp_path).all()] == sorted(
        NAMES[: NAMES.index(name)], key=["cluster", "train", "download", "tokenize"].index
    )
    assert left_in(tmp_path) == []
    world.faults.clear()
    assert run(world, tmp_path) == NAMES[NAMES.index(name) :]
    assert world.scratch[name] == f"kept by {name}"
    assert run(world, tmp_path, force=True) == NAMES
    assert world.scratch[name] == ""


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("write failed: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_with_a_hint(world: World, tmp_path: Path, fault: Exception) -> None:
    world.faults["tokenize"] = fault
    with pytest.raises(XmcpipeError, match=r"^disk full: tokenize could not write to .*MiB free.*gc"):
        run(world, tmp_path)
    assert left_in(tmp_path) == []
    assert list(Store(tmp_path).all("shards")) == []


def test_a_full_disk_while_publishing_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xmcpipe.artifacts.store.sync_tree", full)
    with pytest.raises(XmcpipeError, match=r"disk full: download"):
        run(world, tmp_path)
    assert list(Store(tmp_path).all()) == []
    assert left_in(tmp_path) == []


def test_an_error_other_than_a_failing_disk_is_unchanged(world: World, tmp_path: Path) -> None:
    world.faults["tokenize"] = OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(OSError, match="Invalid"):
        run(world, tmp_path)


def test_two_runs_that_race_use_the_artifact_of_the_winner(world: World, tmp_path: Path) -> None:
    run(world, tmp_path / "winner", stop="tokenize")
    won = next(Store(tmp_path / "winner").all("shards"))
    position = [stage.name for stage in world.catalog].index("tokenize")
    stage = world.catalog[position]

    def overtaken(config: Any, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
        result = stage.run(config, inputs, out, scratch)
        won.path.rename(_made(tmp_path / "loser" / "shards") / won.path.name)
        return result

    world.catalog = (*world.catalog[:position], replace(stage, run=overtaken), *world.catalog[position + 1 :])
    outcome = list(runner(world, tmp_path / "loser").run(stop="tokenize"))[-1]
    assert not outcome.made
    assert outcome.artifact.manifest.made_by == won.manifest.made_by
    assert left_in(tmp_path / "loser") == []


def test_a_run_waits_for_another_that_makes_the_same_and_uses_it(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "xmcpipe")
    position = [stage.name for stage in world.catalog].index("tokenize")
    stage, entered, go_on = world.catalog[position], threading.Event(), threading.Event()

    def slow(config: Any, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
        entered.set()
        assert go_on.wait(30)
        return stage.run(config, inputs, out, scratch)

    world.catalog = (*world.catalog[:position], replace(stage, run=slow), *world.catalog[position + 1 :])
    made: list[list[bool]] = []

    def target() -> None:
        made.append([outcome.made for outcome in runner(world, tmp_path).run(stop="tokenize")])

    threads = [threading.Thread(target=target) for _ in range(2)]
    threads[0].start()
    assert entered.wait(30)
    threads[1].start()
    while "waiting for it" not in caplog.text:
        threads[1].join(0.01)
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(made) == [[False, False], [True, True]]
    assert world.runs == ["download", "tokenize"]


def test_an_import_whose_files_change_while_it_reads_is_refused(world: World, tmp_path: Path) -> None:
    source = tmp_path / "train.jsonl"
    source.write_text("text")
    read = next(stage for stage in world.catalog if stage.name == "import")
    changing = replace(read, run=lambda *_: Result({}, source="another hash"))
    chain = Chain(Store(tmp_path / "s"), {"import": read.config(str(source))}, catalog=(changing,))
    with pytest.raises(XmcpipeError, match=r"changed while it ran"):
        Runner(chain).run_one("import")
    assert list(Store(tmp_path / "s").all()) == []


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
