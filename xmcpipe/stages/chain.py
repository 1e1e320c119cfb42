"""What the artifacts of a chain of stages are called, and which of them are there.

The fingerprint of a stage needs only the fingerprints of its inputs, so the whole chain has names before
anything has run. The one exception is `download`, whose identity holds the bytes that the network gave: it is
found in the store by its stage and config, and what depends on it has no name until it has run.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from xmcpipe.artifacts.fingerprint import fingerprint
from xmcpipe.artifacts.store import Artifact, Store
from xmcpipe.config import nearest, to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.catalog import CATALOG
from xmcpipe.stages.stage import Stage


@dataclass(frozen=True)
class Step:
    """A stage of the chain: `inputs` maps each input to its fingerprint, "source" to the sha256 of raw bytes
    that is known before it runs.

    `fingerprint` is None while an input has none; `artifact` is None until it exists.
    """

    stage: Stage
    config: Any
    inputs: dict[str, str]
    fingerprint: str | None
    artifact: Artifact | None


class Chain:
    """The stages named in `configs` (stage name -> its typed config), in the order of the catalog.

    `given` maps kinds to artifacts from outside the chain, each standing in for the stage that makes that
    kind.
    """

    def __init__(
        self,
        store: Store,
        configs: Mapping[str, Any],
        given: Mapping[str, Artifact] | None = None,
        catalog: tuple[Stage, ...] = CATALOG,
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.stages = [stage for stage in catalog if stage.name in configs]
        self._configs = configs
        self._given = dict(given or {})
        self._makers = {stage.kind: stage for stage in self.stages}
        self._steps: dict[str, Step] = {}
        for kind, artifact in self._given.items():
            artifact.manifest.require(kind, next(s.schema_version for s in catalog if s.kind == kind))

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises XmcpipeError where the chain has none."""
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise XmcpipeError(f"there is no stage {name!r} in this chain", nearest(name, names))
        return self.stages[names.index(name)]

    def steps(self) -> list[Step]:
        """Every step as the store has it now. Raises XmcpipeError for an input that nothing makes."""
        for stage in self.stages:
            self.inputs(stage)
        return [self.step(stage) for stage in self.stages]

    def step(self, stage: Stage) -> Step:
        """Looked up once, since hashing the bytes of an import takes seconds; `made` renews it."""
        if stage.name not in self._steps:
            self._steps[stage.name] = self._look_up(stage)
        return self._steps[stage.name]

    def inputs(self, stage: Stage) -> list[str]:
        """The kinds that `stage` reads in this chain. Raises XmcpipeError for one that nothing makes."""
        there = [kind for kind in stage.inputs if kind in self._given or kind in self._makers]
        for kind in stage.needs(self._configs[stage.name]):
            if kind not in there:
                makers = " or ".join(f"[{other.name}]" for other in self.catalog if other.kind == kind)
                raise XmcpipeError(
                    f"{stage.name} needs {kind}, and nothing here makes it",
                    f"add {makers} to the recipe, or name an artifact with --{kind} PATH"
                    + (", or set train.auxiliary.weight = 0" if kind == "clusters" else ""),
                )
        return there

    def input(self, kind: str) -> tuple[str | None, Artifact | None]:
        """Fingerprint and artifact of one kind, as far as they are known."""
        if kind in self._given:
            return self._given[kind].manifest.fingerprint, self._given[kind]
        step = self.step(self._makers[kind])
        return step.fingerprint, step.artifact

    def require_inputs(self, stage: Stage, kinds: Collection[str] | None = None) -> None:
        """Raise XmcpipeError unless the inputs of `stage` (those `kinds` of them) are there.

        The error names the command to run first.
        """
        absent = [kind for kind in self._absent(stage) if kinds is None or kind in kinds]
        if not absent:
            return
        maker = self._makers[absent[0]]
        while further := self._absent(maker):
            maker = self._makers[further[0]]
        raise XmcpipeError(
            f"{stage.name} needs {absent[0]}, which isn't in the store {self.store.root} yet",
            f"run `xmcpipe {maker.name}` with the same recipe first, `xmcpipe run` for the whole "
            f"chain, or name an artifact with --{absent[0]} PATH",
        )

    def find(self, step: Step) -> Artifact | None:
        """The artifact of `step`, looked for in the store again."""
        if step.fingerprint:
            return self.store.find(step.stage.kind, step.fingerprint)
        return None if step.stage.inputs else self._newest(step.stage)

    def name(self, stage: Stage, inputs: Mapping[str, str]) -> str:
        """The fingerprint of what `stage` makes of inputs of these fingerprints."""
        identity = to_table(self._configs[stage.name], identity=True)
        return fingerprint(stage.name, stage.schema_version, identity, inputs)

    def made(self, step: Step, artifact: Artifact) -> None:
        """Note that `artifact` is what the chain has for `step` now: later steps may have other names."""
        made_of = artifact.manifest
        self._steps[step.stage.name] = Step(
            step.stage, step.config, made_of.inputs, made_of.fingerprint, artifact
        )
        for later in self.stages[self.stages.index(step.stage) + 1 :]:
            self._steps.pop(later.name, None)

    def _look_up(self, stage: Stage) -> Step:
        config = self._configs[stage.name]
        source = stage.source(config) if stage.source else None
        if not stage.inputs and source is None:  # it reads bytes that can't be hashed before it runs
            artifact = self._newest(stage)
            if artifact is None:
                return Step(stage, config, {}, None, None)
            return Step(stage, config, {}, artifact.manifest.fingerprint, artifact)
        inputs: dict[str, str | None] = {kind: self.input(kind)[0] for kind in self.inputs(stage)}
        if source is not None:
            inputs["source"] = source
        known = {kind: name for kind, name in inputs.items() if name is not None}
        if len(known) < len(inputs):
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
