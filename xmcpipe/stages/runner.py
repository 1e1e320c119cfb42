"""Runs a chain of stages: makes missing artifacts, reuses the others, and leaves no incomplete ones.

A stage writes into a building folder, which becomes its artifact in one rename after the stage has returned.
If the stage fails, the folder is removed. If the process is killed, the folder remains, but no stage reads
it, and `xmcpipe gc` removes it.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from xmcpipe.artifacts.manifest import SOURCE, Manifest
from xmcpipe.artifacts.owner import touching
from xmcpipe.artifacts.scratch import forget
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import Verified, require_whole_now
from xmcpipe.config import to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.signals import held
from xmcpipe.stages.chain import Chain, ChainStep
from xmcpipe.stages.disk import disk_error, is_disk_error
from xmcpipe.stages.provenance import Meter
from xmcpipe.stages.stage import Result, Stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The result of one stage of a chain: its artifact, and whether this run made it (`made`) or reused it.

    `seconds` is the wall-clock time of making it, or 0 if it was reused.
    """

    stage: Stage
    artifact: Artifact
    made: bool
    seconds: float


class Runner:
    """Runs the stages of `chain`; `command` is recorded in the manifests.

    With `verify`, the files of a stage's inputs are compared with their manifests before it runs.
    """

    def __init__(self, chain: Chain, command: Sequence[str] = (), verify: bool = True) -> None:
        self.chain = chain
        self.store = chain.store
        self.command = list(command)
        self._verify = verify

    def run(
        self, start: str | None = None, stop: str | None = None, force: bool = False
    ) -> Iterator[Outcome]:
        """Make missing artifacts and reuse the others; returns an iterator over one outcome per stage.

        Stages from `start` on, or with `force` all stages, run even if their artifacts exist. The run ends
        after the stage `stop`. Raises XmcpipeError, before anything runs, for a chain that can't run. No
        artifact of the chain is removed by `gc` until the iterator is finished.
        """
        stages = self.chain.stages
        last = len(stages) if stop is None else stages.index(self.chain.stage(stop)) + 1
        first = len(stages) if start is None else stages.index(self.chain.stage(start))
        if start is not None and first >= last:
            raise XmcpipeError(
                f"--from {start} comes after --to {stop}", "name an earlier --from or a later --to"
            )
        # Called here, and not in the generator, so that an error is raised before the caller iterates.
        steps = self.chain.steps()
        return self._run(steps[:last], first=0 if force else first)

    def _run(self, steps: Sequence[ChainStep], first: int) -> Iterator[Outcome]:
        with ExitStack() as stack:
            for step in steps:
                if step.artifact:
                    stack.enter_context(self.store.reading(step.artifact))
            for position, step in enumerate(steps):
                outcome = self._ensure(step.stage, redo=position >= first)
                stack.enter_context(self.store.reading(outcome.artifact))
                yield outcome

    def run_one(self, name: str, force: bool = False) -> Outcome:
        """Make or reuse the artifact of the stage `name`. Raises XmcpipeError if an input doesn't exist."""
        stage = self.chain.stage(name)
        self.chain.require_inputs(stage)
        return self._ensure(stage, force)

    def _ensure(self, stage: Stage, redo: bool) -> Outcome:
        """Make the artifact of a stage whose inputs exist, or reuse it unless `redo`."""
        step = self.chain.step(stage)
        attempt = self.chain.attempt_name(step)
        if step.artifact and not redo:
            self.store.clear(stage.kind, attempt)
            return Outcome(stage, step.artifact, made=False, seconds=0.0)
        try:
            with self.store.exclusive(stage.kind, attempt) as scratch:
                existing = None if redo else self.chain.find(step)
                if existing:  # another process made it while this one waited
                    forget(scratch)
                    outcome = Outcome(stage, existing, made=False, seconds=0.0)
                else:
                    outcome = self._make(step, scratch, redo)
        except Exception as error:
            if failure := disk_error(error, stage.name, self.store.root):
                raise failure from error
            raise
        self.chain.update(step, outcome.artifact)
        return outcome

    def _make(self, step: ChainStep, scratch: Path, redo: bool) -> Outcome:
        """Run the stage and publish its artifact."""
        stage, inputs, verified = step.stage, self._inputs(step.stage), Verified(self.store.root)
        with ExitStack() as stack:
            for artifact in inputs.values():
                stack.enter_context(self.store.reading(artifact))
                if self._verify:
                    verified.require_whole(artifact)
            logger.info("%s: running", stage.name)
            if redo:  # from the beginning, not from a checkpoint
                forget(scratch)
            meter = Meter()
            folders, building = {kind: artifact.path for kind, artifact in inputs.items()}, None
            try:
                with held():  # a signal before `building` is known would leave the folder
                    building = self.store.building(stage.kind)
                stack.enter_context(touching(scratch, building))
                result = stage.run(step.config, folders, building, scratch)
                manifest = self._manifest(step, result, meter)
                sealed = self.store.seal(building, manifest, result.rows)
                with held():  # an artifact and what it could be resumed from are never there together
                    artifact = self.store.publish(building, sealed, replace=redo)
                    forget(scratch)
            except BaseException as error:
                with held():
                    if building is not None:
                        shutil.rmtree(building, ignore_errors=True)
                if not isinstance(error, XmcpipeError):  # one that says itself what is wrong
                    _blame_inputs(error, inputs)
                raise
        verified.remember(artifact)
        made = artifact.manifest.made_by == manifest.made_by  # if not, another run published first
        return Outcome(stage, artifact, made=made, seconds=meter.seconds if made else 0.0)

    def _inputs(self, stage: Stage) -> dict[str, Artifact]:
        """Kind -> artifact, for all inputs of a stage."""
        artifacts = {}
        for kind in self.chain.inputs(stage):
            artifact = self.chain.input(kind)[1]
            assert artifact, f"{stage.name} runs after {kind} is made"
            artifacts[kind] = artifact
        return artifacts

    def _manifest(self, step: ChainStep, result: Result, meter: Meter) -> Manifest:
        """The manifest of the new artifact, without the outputs, which the store adds."""
        stage, inputs = step.stage, dict(step.inputs)
        if result.source is not None and not stage.inputs:
            # The hash from before the run named the artifact; the stage hashed the files again after reading.
            if inputs.get(SOURCE, result.source) != result.source:
                raise XmcpipeError(f"the files that {stage.name} reads changed while it ran", "run it again")
            inputs = {SOURCE: result.source}
        identity, table = to_table(step.config, keys="identity"), to_table(step.config)
        made_by = meter.made_by(
            self.command, {key: value for key, value in table.items() if identity.get(key) != value}
        )
        if not stage.inputs:
            made_by["order"] = self.chain.next_order(stage)
        return Manifest(
            stage=stage.name,
            kind=stage.kind,
            schema_version=stage.schema_version,
            fingerprint=self.chain.fingerprint(stage, inputs),
            config=identity,
            inputs=inputs,
            outputs={},
            figures=result.figures,
            made_by=made_by,
        )


def _blame_inputs(error: BaseException, inputs: Mapping[str, Artifact]) -> None:
    """Raise XmcpipeError in place of a stage's `error` if a file of its inputs is damaged.

    A damaged file makes readers fail in many ways, and the file is what the user has to know.
    """
    # Hashing large inputs takes minutes, and a disk that fails or full memory is not their fault.
    if isinstance(error, Exception) and not isinstance(error, MemoryError) and not is_disk_error(error):
        for artifact in inputs.values():
            try:
                require_whole_now(artifact)
            except XmcpipeError as damage:
                raise damage from error
