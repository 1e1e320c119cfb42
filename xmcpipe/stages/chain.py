"""The artifacts of a chain of stages: their fingerprints, and which of them exist in the store.

The fingerprint of an artifact depends only on the stage's config and the fingerprints of its inputs, so all
fingerprints of a chain are known before anything has run. The one exception is `download`, whose fingerprint
depends on the bytes that the network sends: its artifact is found in the store by stage and config, and the
stages after it have no fingerprint until it has run.
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
class ChainStep:
    """A stage of the chain, with its fingerprints and its artifact in the store.

    `inputs` maps the kind of each input to its fingerprint; if the source bytes are known before the stage
    runs, it also maps SOURCE to their sha256. `fingerprint` is None while the fingerprint of an input is
    unknown; `artifact` is None until the artifact exists.
    """

    stage: Stage
    config: Any
    inputs: dict[str, str]
    fingerprint: str | None
    artifact: Artifact | None


class Chain:
    """The stages named in `configs` (stage name -> typed config), in the order of the catalog.

    `given` maps kinds to artifacts from outside the chain; each replaces the stage that makes its kind.
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
        # Kind -> stage. A recipe has at most one stage per kind: it names only one of those for raw data.
        self._makers = {stage.kind: stage for stage in self.stages}
        self._steps: dict[str, ChainStep] = {}
        for kind, artifact in self._given.items():
            artifact.manifest.require(kind, next(s.schema_version for s in self.catalog if s.kind == kind))

    def stage(self, name: str) -> Stage:
        """The stage called `name`. Raises XmcpipeError if it is not in the chain."""
        names = [stage.name for stage in self.stages]
        if name not in names:
            raise XmcpipeError(f"there is no stage {name!r} in this chain", nearest(name, names))
        return self.stages[names.index(name)]

    def steps(self) -> list[ChainStep]:
        """All steps of the chain, in order. Raises XmcpipeError for an input that no stage makes."""
        # Check all inputs first: looking up a step may hash large files.
        for stage in self.stages:
            self.inputs(stage)
        return [self.step(stage) for stage in self.stages]

    def step(self, stage: Stage) -> ChainStep:
        """The step of `stage`. It is cached until `update`, since hashing imported files takes seconds."""
        if stage.name not in self._steps:
            self._steps[stage.name] = self._look_up(stage)
        return self._steps[stage.name]

    def inputs(self, stage: Stage) -> list[str]:
        """The kinds that `stage` reads here. Raises XmcpipeError if no stage makes a required kind."""
        available = [kind for kind in stage.inputs if kind in self._given or kind in self._makers]
        for kind in stage.needs(self._configs[stage.name]):
            if kind not in available:
                makers = " or ".join(
                    f"[{other.name}]" for other in self.catalog if other.kind == kind and not other.beside
                )
                hint = f"add {makers} to the recipe, or name an artifact with --{kind} PATH"
                if alternative := stage.alternatives.get(kind):
                    hint += f", or {alternative}"
                raise XmcpipeError(f"{stage.name} needs {kind}, but no stage here makes it", hint)
        return available

    def input(self, kind: str) -> tuple[str | None, Artifact | None]:
        """The fingerprint and the artifact of one kind; None if it is unknown or doesn't exist yet."""
        if kind in self._given:
            return self._given[kind].manifest.fingerprint, self._given[kind]
        step = self.step(self._makers[kind])
        return step.fingerprint, step.artifact

    def require_inputs(self, stage: Stage, kinds: Collection[str] | None = None) -> None:
        """Raise XmcpipeError unless the inputs of `stage` exist: all of them, or only those of `kinds`.

        The error names the command to run first.
        """
        absent = [kind for kind in self._absent(stage) if kinds is None or kind in kinds]
        if not absent:
            return
        # Follow missing inputs back to a stage that has all of its own, and so can run now.
        maker = self._makers[absent[0]]
        while earlier := self._absent(maker):
            maker = self._makers[earlier[0]]
        raise XmcpipeError(
            f"{stage.name} needs {absent[0]}, which isn't in the store {self.store.root} yet",
            f"run `xmcpipe {maker.name}` with the same recipe first, `xmcpipe run` for the whole "
            f"chain, or name an artifact with --{absent[0]} PATH",
        )

    def find(self, step: ChainStep) -> Artifact | None:
        """The artifact of `step`, without the cache: another process may have made it in the meantime."""
        if step.fingerprint:
            return self.store.find(step.stage.kind, step.fingerprint)
        return None if step.stage.inputs else self._newest(step.stage)

    def next_order(self, stage: Stage) -> int:
        """The number by which the artifact that a download makes now is known as the newest.

        Not the time: the clock may have been set back since the last one.
        """
        newest = self._newest(stage)
        return 1 if newest is None else _order(newest)[0] + 1

    def fingerprint(self, stage: Stage, inputs: Mapping[str, str]) -> str:
        """The fingerprint of the artifact that `stage` makes from inputs with these fingerprints."""
        identity = to_table(self._configs[stage.name], keys="identity")
        return fingerprint(stage.name, stage.schema_version, identity, inputs)

    def attempt_name(self, step: ChainStep) -> str:
        """The fingerprint under which the store keeps an unfinished attempt of `step`.

        A download has no fingerprint before it has run: its attempt is named by its config alone.
        """
        return step.fingerprint or self.fingerprint(step.stage, {})

    def update(self, step: ChainStep, artifact: Artifact) -> None:
        """Record `artifact` as that of `step`. Later steps are looked up again: fingerprints may change."""
        manifest = artifact.manifest
        self._steps[step.stage.name] = ChainStep(
            step.stage, step.config, manifest.inputs, manifest.fingerprint, artifact
        )
        for later in self.stages[self.stages.index(step.stage) + 1 :]:
            self._steps.pop(later.name, None)

    def _look_up(self, stage: Stage) -> ChainStep:
        """The step of `stage`, computed from its inputs and the store."""
        config = self._configs[stage.name]
        source = stage.source(config) if stage.source else None
        if not stage.inputs and source is None:  # a download: its bytes can't be hashed before it runs
            artifact = self._newest(stage)
            if artifact is None:
                return ChainStep(stage, config, {}, None, None)
            return ChainStep(stage, config, {}, artifact.manifest.fingerprint, artifact)
        inputs: dict[str, str | None] = {kind: self.input(kind)[0] for kind in self.inputs(stage)}
        if source is not None:
            inputs[SOURCE] = source
        known = {kind: value for kind, value in inputs.items() if value is not None}
        if len(known) < len(inputs):  # an earlier download has not run yet
            return ChainStep(stage, config, known, None, None)
        identity = self.fingerprint(stage, known)
        return ChainStep(stage, config, known, identity, self.store.find(stage.kind, identity))

    def _newest(self, stage: Stage) -> Artifact | None:
        """The latest artifact of this stage with this config, whatever its source bytes were, or None."""
        identity = to_table(self._configs[stage.name], keys="identity")
        same = [
            artifact
            for artifact in self.store.all(stage.kind)
            if artifact.manifest.stage == stage.name
            and artifact.manifest.schema_version == stage.schema_version
            and artifact.manifest.config == identity
        ]
        return max(same, key=_order, default=None)

    def _absent(self, stage: Stage) -> list[str]:
        """The kinds of those inputs of `stage` that don't exist yet."""
        return [kind for kind in self.inputs(stage) if self.input(kind)[1] is None]


def _order(artifact: Artifact) -> tuple[int, str]:
    """A key that sorts the artifacts of one stage and config; older versions gave them no number."""
    made_by = artifact.manifest.made_by
    return int(made_by.get("order", 0)), str(made_by.get("started", ""))
