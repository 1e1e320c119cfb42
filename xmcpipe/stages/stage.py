"""What a stage is: one function `run(config, inputs, out, scratch)`, and what its artifact is called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a stage says of the artifact it wrote.

    `figures`: headline numbers for the manifest and the terminal (JSON types). `rows`: rows of each output
    file by its path relative to the artifact. `source`: for raw data, the sha256 of the bytes it was made of.
    """

    figures: dict[str, Any]
    rows: dict[str, int] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True)
class Stage:
    """A stage: `name` is its command and recipe table, `kind` its artifact, `inputs` the kinds it reads.

    `run(config, inputs, out, scratch)` writes into the empty folder `out`; `inputs` maps each kind to the
    folder of a finished artifact; `scratch` outlives a killed attempt. `source(config)` hashes the bytes that
    a stage without inputs reads, or returns None where they aren't known before it runs. `required(config)`
    are the inputs that it can't do without where it can do without some; else it needs them all.
    """

    name: str
    kind: str
    config: type
    schema_version: int
    inputs: tuple[str, ...]
    run: Callable[[Any, Mapping[str, Path], Path, Path], Result]
    source: Callable[[Any], str | None] | None = None
    required: Callable[[Any], tuple[str, ...]] | None = None

    def needs(self, config: Any) -> tuple[str, ...]:
        """The kinds of artifact that this stage can't run without."""
        return self.inputs if self.required is None else self.required(config)
