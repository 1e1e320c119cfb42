"""Runs a chain of stages: makes what is missing, reuses what exists, and leaves nothing incomplete.

A stage writes into a building folder, which becomes its artifact in one rename after the stage has returned.
If the stage fails, the folder is removed. If the process is killed, the folder stays but is never read, and
`xmcpipe gc` removes it.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.artifacts.manifest import SOURCE, Manifest
from xmcpipe.artifacts.store import Artifact
from xmcpipe.config import to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.chain import Chain, Step
from xmcpipe.stages.disk import disk_full
from xmcpipe.stages.provenance import Meter
from xmcpipe.stages.stage import Result, Stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The result of one stage of a chain: its artifact, and whether this run made it or reused it.

    `seconds` is how long making it took, 0 if it was reused.
    """

    stage: Stage
    artifact: Artifact
    made: bool
    seconds: float


class Runner:
    """Runs the stages of `chain`; `command` is recorded in the manifests."""

    def __init__(self, chain: Chain, command: Sequence[str] = ()) -> None:
        self.chain = chain
        self.store = chain.store
        self.command = list(command)

    def run(
        self, start: str | None = None, stop: str | None = None, force: bool = False
    ) -> Iterator[Outcome]:
        """Make missing artifacts and reuse the others; yields one outcome per stage.

        The stages from `start` on run even if their artifacts exist, with `force` all stages do. The run ends
        after the stage `stop`. Raises XmcpipeError, before anything has run, for a chain that can't run.
        """
        stages = self.chain.stages
        last = len(stages) if stop is None else stages.index(self.chain.stage(stop)) + 1
        first = len(stages) if start is None else stages.index(self.chain.stage(start))
        if start is not None and first >= last:
            raise XmcpipeError(
                f"--from {start} comes after --to {stop}", "name an earlier --from or a later --to"
            )
        self.chain.steps()  # raises if an input is missing; not in the generator, which starts only later
        return (
            self._ensure(stage, redo=force or position >= first)
            for position, stage in enumerate(stages[:last])
        )

    def run_one(self, name: str, force: bool = False) -> Outcome:
        """Make or reuse the artifact of one stage. Raises XmcpipeError if an input doesn't exist."""
        stage = self.chain.stage(name)
        self.chain.require_inputs(stage)
        return self._ensure(stage, force)

    def _ensure(self, stage: Stage, redo: bool) -> Outcome:
        """Make the artifact of a stage whose inputs exist, or reuse it unless `redo`."""
        step = self.chain.step(stage)
        if step.artifact and not redo:
            return Outcome(stage, step.artifact, made=False, seconds=0.0)
        # A download has no fingerprint before it has run: its attempts are named by its config alone.
        attempt = step.fingerprint or self.chain.name(stage, {})
        try:
            with self.store.exclusive(stage.kind, attempt):
                existing = None if redo else self.chain.find(step)
                if existing:  # another process made it while this one waited for the lock
                    outcome = Outcome(stage, existing, made=False, seconds=0.0)
                else:
                    outcome = self._make(step, attempt, redo)
        except Exception as error:
            if full := disk_full(error, stage.name, self.store.root):
                raise full from error
            raise
        self.chain.update(step, outcome.artifact)
        return outcome

    def _make(self, step: Step, attempt: str, redo: bool) -> Outcome:
        stage = step.stage
        logger.info("%s: running", stage.name)
        if redo:
            self.store.forget(stage.kind, attempt)
        meter = Meter()
        building = self.store.building(stage.kind)
        try:
            scratch = self.store.scratch(stage.kind, attempt)
            result = stage.run(step.config, self._folders(stage), building, scratch)
            manifest = self._manifest(step, result, meter)
            artifact = self.store.publish(building, manifest, result.rows, replace=redo)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            # Checkpoints and partial downloads in the scratch folder stay for the next attempt.
            self.store.forget_empty(stage.kind, attempt)
            raise
        self.store.forget(stage.kind, attempt)
        made = artifact.manifest.made_by == manifest.made_by  # if not, another run published first
        return Outcome(stage, artifact, made=made, seconds=meter.seconds if made else 0.0)

    def _folders(self, stage: Stage) -> dict[str, Path]:
        folders = {}
        for kind in self.chain.inputs(stage):
            artifact = self.chain.input(kind)[1]
            assert artifact, f"{stage.name} runs after {kind} is made"
            folders[kind] = artifact.path
        return folders

    def _manifest(self, step: Step, result: Result, meter: Meter) -> Manifest:
        """The manifest of what the stage wrote; the store adds the outputs."""
        stage, inputs = step.stage, dict(step.inputs)
        if result.source is not None and not stage.inputs:
            if inputs.get(SOURCE, result.source) != result.source:
                raise XmcpipeError(f"the files that {stage.name} reads changed while it ran", "run it again")
            inputs = {SOURCE: result.source}
        identity, table = to_table(step.config, identity=True), to_table(step.config)
        return Manifest(
            stage=stage.name,
            kind=stage.kind,
            schema_version=stage.schema_version,
            fingerprint=self.chain.name(stage, inputs),
            config=identity,
            inputs=inputs,
            outputs={},
            figures=result.figures,
            made_by=meter.made_by(
                self.command, {key: value for key, value in table.items() if identity.get(key) != value}
            ),
        )
