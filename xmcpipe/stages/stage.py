"""A stage: one function `run(config, inputs, out, scratch)` and a description that everything else reads.

The chain names its artifact by it, the recipe checks its table, and the command line makes its command. So a
new stage is one file with a config class, a function `run` and a `Stage`, and one line in catalog.py:

    @dataclass(frozen=True)
    class DedupeConfig:
        threshold: float = 0.9
        \"\"\"Similarity from which two documents count as the same.\"\"\"

    DEDUPE = Stage(name="dedupe", kind="pairs", config=DedupeConfig, schema_version=1, inputs=("raw",),
                   run=run, help="Find documents with nearly the same text.")
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a stage reports about the artifact that it wrote.

    `figures`: headline numbers for the manifest and the terminal (JSON types). `rows`: rows of each output
    file by its path relative to the artifact. `source`: for raw data, the sha256 of the bytes it was made of.
    """

    figures: dict[str, Any]
    rows: dict[str, int] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True)
class Option:
    """A command-line option that sets a key of the stage's config: short for --set STAGE.KEY=VALUE.

    An option with a `value` is a flag that sets the key to it. Else the option takes a value of type `type`,
    shown as `metavar` and, for numbers, not below `least`.
    """

    flag: str
    key: str
    help: str
    value: Any = None
    type: type = str
    metavar: str | None = None
    least: int | None = None


@dataclass(frozen=True)
class Stage:
    """A stage: `name` is its command and its recipe table, `kind` its artifact, `inputs` the kinds it reads.

    `schema_version` is the version of the artifact's format: change it with the format, and older artifacts
    are refused. `help` is the help text of its command, and `options` are the command's own.

    `run(config, inputs, out, scratch)` writes into the empty folder `out`; `inputs` maps each kind to the
    folder of a finished artifact; `scratch` survives a killed attempt. `source(config)` returns the sha256 of
    the bytes that a stage without inputs reads, or None if they aren't known before it runs.
    `required(config)` returns the inputs that are needed with this config; by default all of them.
    `alternatives` maps an input to a hint on how to do without it.
    """

    name: str
    kind: str
    config: type
    schema_version: int
    inputs: tuple[str, ...]
    run: Callable[[Any, Mapping[str, Path], Path, Path], Result]
    source: Callable[[Any], str | None] | None = None
    required: Callable[[Any], tuple[str, ...]] | None = None
    alternatives: Mapping[str, str] = field(default_factory=dict)
    help: str = ""
    options: tuple[Option, ...] = ()

    def needs(self, config: Any) -> tuple[str, ...]:
        """The kinds of artifact that this stage can't run without."""
        return self.inputs if self.required is None else self.required(config)
