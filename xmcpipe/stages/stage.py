"""A stage: a function `run(config, inputs, out, scratch)`, and a description that all other code reads.

From the description, the recipe checks the stage's table, the chain computes the fingerprint, and the command
line makes a command. So a new stage is one file with a config class, a function `run` and a `Stage`, and one
line in catalog.py:

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
    """Facts about the artifact that a stage wrote.

    `figures`: headline numbers for the manifest and the terminal (JSON types). `rows`: path of an output
    file, relative to the artifact -> its number of rows. `source`: for raw data, the sha256 of the source
    bytes.
    """

    figures: dict[str, Any]
    rows: dict[str, int] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True)
class Option:
    """A command-line option that sets a key of the stage's config: short for --set STAGE.KEY=VALUE.

    With `value`, the option is a flag that sets the key to that value. Without it, the option takes a value
    of type `type`, shown as `metavar` in the help; a number must be at least `least`.
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
    """The description of a stage.

    `name` is the name of its command and of its recipe table, `kind` is the kind of artifact that it makes,
    and `inputs` are the kinds that it reads. `schema_version` is the version of the artifact's format; if it
    changes, older artifacts are refused. `help` is the help text of the command, and `options` are options
    that only this command has.

    `run(config, inputs, out, scratch)` writes into the empty folder `out`. `inputs` maps each kind to the
    folder of a finished artifact. The folder `scratch` survives a killed attempt. `source(config)` returns
    the sha256 of the bytes that a stage without inputs reads, or None if they aren't known before it runs.
    `required(config)` returns the inputs that this config requires; by default all are required.
    `alternatives` maps an input to a hint on how to run without it. A stage `beside` the chain is run by its
    own command only: `xmcpipe run` leaves it out, even if the recipe has its table. `how_far(scratch)`
    returns how far an unfinished attempt is: `step`, and `steps` and `checkpoint` if they are known.
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
    beside: bool = False
    how_far: Callable[[Path], dict[str, int]] | None = None

    def needs(self, config: Any) -> tuple[str, ...]:
        """The kinds of artifact that this stage requires with this config."""
        return self.inputs if self.required is None else self.required(config)
