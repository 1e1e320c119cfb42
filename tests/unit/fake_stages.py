"""A small catalog of stages that write their config and inputs to a file, for tests of stages in general."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmcpipe.config import runtime
from xmcpipe.stages.stage import Result, Stage


@dataclass(frozen=True)
class FetchConfig:
    dataset: str = "small"
    mirror: str = runtime("near")
    archive: str | None = runtime(None)


@dataclass(frozen=True)
class ReadConfig:
    train: str


@dataclass(frozen=True)
class StepConfig:
    size: int = 1
    seed: int = 0
    auxiliary: float = 0.0
    threads: int = runtime(1)


@dataclass
class World:
    """Records what the fake stages did. A stage with a fault in `faults` raises it after writing."""

    runs: list[str] = field(default_factory=list)
    bytes_on_net: str = "v1"
    faults: dict[str, BaseException] = field(default_factory=dict)
    scratch: dict[str, str] = field(default_factory=dict)
    catalog: tuple[Stage, ...] = ()

    def stage(self, name: str, kind: str, config: type, inputs: tuple[str, ...] = (), **more: Any) -> Stage:
        """A stage that writes out.txt: its name, its config, the contents of its inputs."""

        def run(config: Any, folders: Mapping[str, Path], out: Path, scratch: Path) -> Result:
            self.runs.append(name)
            assert list(out.iterdir()) == []
            assert set(folders) <= set(inputs)
            self.scratch[name] = "".join(path.read_text() for path in scratch.iterdir())
            (scratch / "kept.txt").write_text(f"kept by {name}")
            read = "".join((folder / "out.txt").read_text() for _, folder in sorted(folders.items()))
            (out / "out.txt").write_text(f"{name}({getattr(config, 'size', '')}{read})")
            if name in self.faults:
                raise self.faults[name]
            source = self.bytes_on_net if name == "download" else None
            return Result({"documents": 49677, "share": 0.25}, {"out.txt": 1}, source)

        return Stage(name, kind, config, 1, inputs, run, **more)


def _hash_of_input(config: ReadConfig) -> str:
    return hashlib.sha256(Path(config.train).read_bytes()).hexdigest()


def _required(config: StepConfig) -> tuple[str, ...]:
    return ("shards", "clusters") if config.auxiliary else ("shards",)


def make_world() -> World:
    """A world with a catalog of five stages, two of which make raw data."""
    world = World()
    world.catalog = (
        world.stage("download", "raw", FetchConfig),
        world.stage("import", "raw", ReadConfig, source=_hash_of_input),
        world.stage("tokenize", "shards", StepConfig, ("raw",)),
        world.stage("cluster", "clusters", StepConfig, ("shards",)),
        world.stage("train", "model", StepConfig, ("shards", "clusters"), required=_required),
    )
    return world
