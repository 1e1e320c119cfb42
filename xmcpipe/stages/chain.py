"""The artifacts of a chain of stages: their fingerprints, and which of them exist in the store.

The fingerprint of a stage needs only its config and the fingerprints of its inputs, so the whole chain has
names before anything has run. The one exception is `download`, whose fingerprint depends on the bytes that
the network sends: its artifact is found in the store by its stage and config, and the stages after it have no
fingerprint until it has run.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from xmcpipe.artifacts.fingerprint import fingerprint
from xmcpipe.artifacts.manifest import SOURCE
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.config import nearest, to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages import catalog as stage_catalog
from xmcpipe.stages.stage import Stage


@dataclass(frozen=True)
class Step:
    """A stage of the chain, as the store has it now.

    `inputs` maps each input to its fingerprint, and SOURCE to the sha256 of raw bytes that is known before
    the stage runs. `fingerprint` is None while an input has none; `artifact` is None until it exists.
    """

    stage: Stage
    config: Any
    inputs: dict[str, str]
    fingerprint: str | None
    artifact: Artifact | None


class Chain:
    """The stages named in `configs` (stage name -> its typed config), in the order of the catalog.

    `given` maps kinds to artifacts from outside the chain. Each replaces the stage that makes that kind.
    """

    def __init__(
        self,
        store: Store,
        configs: Mapping[str, Any],
        given: Mapping[str, Artifact] | None = None,
        catalog: tuple[Stage, ...] | None = None,
    ) -> None:
        self.store = store
        self.catalog = stage_catalog.CATALOG if catalog is None else catalog
        self.stages = [stage for stage in self.catalog if stage.name in configs]
        self._configs = configs
        self._given = dict(given or {})
        # Kind -> stage. A recipe has one stage per kind: of several that make raw data, it names one.
        self._makers = {stage.kind: stage for stage in self.stages}
        self._steps: dict[str, Step] = {}
        for kind, artifact in self._given.items():
            artifact.manifest.require(kind, next(s.schema_version for s in self.catalog if s.kind == kind))

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises XmcpipeError if the chain has none."""
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise XmcpipeError(f"there is no stage {name!r} in this chain", nearest(name, names))
        return self.stages[names.index(name)]

    def steps(self) -> list[Step]:
        """Every step as the store has it now. Raises XmcpipeError for an input that no stage makes."""
        for stage in self.stages:
            self.inputs(stage)
        return [self.step(stage) for stage in self.stages]

    def step(self, stage: Stage) -> Step:
        """The step of `stage`. Cached, since hashing the files of an import takes seconds; see `update`."""
        if stage.name not in self._steps:
            self._steps[stage.name] = self._look_up(stage)
        return self._steps[stage.name]

    def inputs(self, stage: Stage) -> list[str]:
        """The kinds that `stage` reads in this chain. Raises XmcpipeError for one that no stage makes."""
        available = [kind for kind in stage.inputs if kind in self._given or kind in self._makers]
        for kind in stage.needs(self._configs[stage.name]):
            if kind not in available:
                makers = " or ".join(f"[{other.name}]" for other in self.catalog if other.kind == kind)
                hint = f"add {makers} to the recipe, or name an artifact with --{kind} PATH"
                if alternative := stage.alternatives.get(kind):
                    hint += f", or {alternative}"
                raise XmcpipeError(f"{stage.name} needs {kind}, but no stage here makes it", hint)
        return available

    def input(self, kind: str) -> tuple[str | None, Artifact | None]:
        """Fingerprint and artifact of one kind, as far as they are known."""
        if kind in self._given:
            return self._given[kind].manifest.fingerprint, self._given[kind]
        step = self.step(self._makers[kind])
        return step.fingerprint, step.artifact

    def require_inputs(self, stage: Stage, kinds: Collection[str] | None = None) -> None:
        """Raise XmcpipeError unless the inputs of `stage` (or those of the kinds `kinds`) exist.

        The error names the command to run first.
        """
        absent = [kind for kind in self._absent(stage) if kinds is None or kind in kinds]
        if not absent:
            return
        # Go back to the first stage that can run now.
        maker = self._makers[absent[0]]
        while earlier := self._absent(maker):
            maker = self._makers[earlier[0]]
        raise XmcpipeError(
            f"{stage.name} needs {absent[0]}, which isn't in the store {self.store.root} yet",
            f"run `xmcpipe {maker.name}` with the same recipe first, `xmcpipe run` for the whole "
            f"chain, or name an artifact with --{absent[0]} PATH",
        )

    def find(self, step: Step) -> Artifact | None:
        """The artifact of `step`, looked up in the store again: another process may have made it."""
        if step.fingerprint:
            return self.store.find(step.stage.kind, step.fingerprint)
        return None if step.stage.inputs else self._newest(step.stage)

    def name(self, stage: Stage, inputs: Mapping[str, str]) -> str:
        """The fingerprint of what `stage` makes of inputs with these fingerprints."""
        identity = to_table(self._configs[stage.name], identity=True)
        return fingerprint(stage.name, stage.schema_version, identity, inputs)

    def update(self, step: Step, artifact: Artifact) -> None:
        """Record `artifact` as that of `step`. Later steps are looked up again: their names may change."""
        manifest = artifact.manifest
        self._steps[step.stage.name] = Step(
            step.stage, step.config, manifest.inputs, manifest.fingerprint, artifact
        )
        for later in self.stages[self.stages.index(step.stage) + 1 :]:
            self._steps.pop(later.name, None)

    def _look_up(self, stage: Stage) -> Step:
        config = self._configs[stage.name]
        source = stage.source(config) if stage.source else None
        if not stage.inputs and source is None:  # a download: its bytes can't be hashed before it runs
            artifact = self._newest(stage)
            if artifact is None:
                return Step(stage, config, {}, None, None)
            return Step(stage, config, {}, artifact.manifest.fingerprint, artifact)
        inputs: dict[str, str | None] = {kind: self.input(kind)[0] for kind in self.inputs(stage)}
        if source is not None:
            inputs[SOURCE] = source
        known = {kind: name for kind, name in inputs.items() if name is not None}
        if len(known) < len(inputs):  # a download before it has not run yet
            return Step(stage, config, known, None, None)
        name = self.name(stage, known)
        return Step(stage, config, known, name, self.store.find(stage.kind, name))

    def _newest(self, stage: Stage) -> Artifact | None:
        """The latest artifact of this stage with this config, whatever bytes it was made of."""
        identity = to_table(self._configs[stage.name], identity=True)
        same = [
            artifact
            for artifact in self.store.all(stage.kind)
            if artifact.manifest.stage == stage.name
            and artifact.manifest.schema_version == stage.schema_version
            and artifact.manifest.config == identity
        ]
        return max(same, key=lambda artifact: str(artifact.manifest.made_by.get("started", "")), default=None)

    def _absent(self, stage: Stage) -> list[str]:
        return [kind for kind in self.inputs(stage) if self.input(kind)[1] is None]
