"""Chooses the settings of a first recipe from a survey of the data, each with its reason.

Values of [train] stay "auto" where there is a rule (training.auto); the reason then has the value that the
rule gives for these data.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from xmcpipe.clustering.config import default_clusters
from xmcpipe.config import from_table, to_table
from xmcpipe.draft.survey import Survey
from xmcpipe.stages.importing import ImportConfig
from xmcpipe.training.auto import Facts, choose
from xmcpipe.training.config import TrainConfig, TrainTable
from xmcpipe.training.schedule import Steps, num_held_out

CLUSTERED_LABELS = 1000  # from here on, an auxiliary loss over clusters is worth its time
LIGHT_LABELS = 500_000
LARGE = 200_000  # documents
LONGEST = 256  # tokens
AUTO_REASON = (
    'Values that are "auto" are chosen when the training starts; docs/defaults.md has the rules. To change '
    "one, put a number in its place."
)
POOLING = "mean"
VALIDATION = 500  # documents, so that P@1 is known to about two points


@dataclass(frozen=True)
class Key:
    """A key of a recipe, its value, and why: the comment above it."""

    name: str
    value: Any
    why: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a recipe; `why` is the comment below its header."""

    name: str
    keys: list[Key]
    why: str = ""


@dataclass(frozen=True)
class Draft:
    """The tables of a recipe, [train] with every value chosen, and its steps."""

    tables: list[Table]
    train: TrainConfig
    steps: Steps


def draft(imported: ImportConfig, found: Survey, encoder: str, width: int) -> Draft:
    """The recipe for these data; `width` is that of the encoder."""
    clustered = found.labels >= CLUSTERED_LABELS
    plain = _plain_keys(found)
    keys = {**{key.name: key.value for key in plain}, "encoder": {"pooling": POOLING}}
    table = from_table(TrainTable, keys, "train")
    trained = found.documents - num_held_out(table, found.documents)
    config = choose(table, Facts(trained, found.labels, width, clustered))
    steps = Steps.of(trained, config, config.epochs)
    tables = [
        Table("import", _import_keys(imported), "The files, read as in `xmcpipe import`."),
        Table("tokenize", _tokenize_keys(found, encoder)),
        *([Table("cluster", [], _cluster_reason(found.labels))] if clustered else []),
        *_train_tables(plain, config, steps, width, found.labels),
        Table("predict", []),
        Table("eval", []),
    ]
    return Draft(tables, config, steps)


def _import_keys(config: ImportConfig) -> list[Key]:
    """The keys that differ from their defaults, and the files."""
    table, default = to_table(config), {f.name: f.default for f in dataclasses.fields(ImportConfig)}
    keys = [Key(name, value) for name, value in table.items() if value != default[name]]
    if config.train is None or config.test is not None:
        return keys
    why = f"No test file: 1 in {config.test_every} documents, by a hash of their ids, is the test split."
    return [*(key for key in keys if key.name != "test_every"), Key("test_every", config.test_every, why)]


def _tokenize_keys(found: Survey, encoder: str) -> list[Key]:
    length = min(-(-found.tokens_95 // 16) * 16, LONGEST)
    counted = "estimated from words" if found.tokens_estimated else "in a sample"
    why = (
        f"95 of 100 texts have at most {found.tokens_95:,} tokens and the longest {found.tokens_max:,} "
        f"({counted}). The rest of a longer text is not read."
    )
    return [Key("encoder", encoder), Key("max_length", length, why)]


def _cluster_reason(labels: int) -> str:
    clusters = default_clusters(labels)
    return (
        f"{clusters:,} clusters of about {labels / clusters:,.0f} labels, for the auxiliary loss that helps "
        "the encoder in the first quarter of the training."
    )


def _plain_keys(found: Survey) -> list[Key]:
    """The keys of [train] that init chooses itself."""
    share = round(min(0.2, max(0.05, VALIDATION / found.documents)), 2)
    held_out = min(int(share * found.documents), TrainConfig.validation_max)
    keys = [
        Key("batch_size", 128 if found.documents >= LARGE else 64),
        Key(
            "validation",
            share,
            f"{held_out:,} training documents are set aside; the best model is chosen by them.",
        ),
    ]
    if found.labels >= LIGHT_LABELS:
        why = 'With so many labels: 16-bit weights without stored gradients; the other way is "paper".'
        keys.append(Key("memory", "light", why))
    return keys


def _train_tables(
    plain: list[Key], config: TrainConfig, steps: Steps, width: int, labels: int
) -> list[Table]:
    """[train] and the tables in it: the values that are "auto", with what they are here."""
    encoder, auxiliary = config.encoder, config.auxiliary
    train = [
        Key("epochs", "auto", f"Here {config.epochs:,}, that is {steps.total:,} steps."),
        *plain,
        Key("loss", "auto", f"Here {config.loss}."),
        Key("warmup_steps", "auto", f"Here {config.warmup_steps:,}: a tenth, at most 1,000."),
    ]
    text = [
        Key("pooling", POOLING, "The mean of all tokens; cls is the first one, for BERT itself."),
        Key("dropout", "auto", f"Here {encoder.dropout:g}."),
        Key("lr", "auto", f"Here {encoder.lr:g}, for a width of {width:,}."),
    ]
    tables = [
        Table("train", train, AUTO_REASON),
        Table("train.encoder", text),
        Table("train.head", _head_keys(config, width, labels)),
        Table("train.rewire", [_interval_key(config, steps)]),
    ]
    if not auxiliary.weight:
        return tables
    keys = [
        Key("weight", "auto", f"Here {auxiliary.weight:g}."),
        Key("cutoff_epoch", "auto", f"Here {auxiliary.cutoff_epoch:g}: after a quarter of the training."),
    ]
    return [*tables, Table("train.auxiliary", keys)]


def _head_keys(config: TrainConfig, width: int, labels: int) -> list[Key]:
    head = config.head
    reads = f"{labels:,} labels, each of which reads {head.fan_in:,} of the encoder's {width:,} features."
    if head.fan_in == width:
        reads = f"all features, because a sparser layer of {labels:,} labels saves nothing that matters."
    return [
        Key("fan_in", "auto", f"Here {head.fan_in:,}: {reads}"),
        Key("lr", "auto", f"Here {head.lr:g}, for {head.optimizer}."),
    ]


def _interval_key(config: TrainConfig, steps: Steps) -> Key:
    rewire = config.rewire
    if not rewire.interval:
        return Key(
            "interval", "auto", "Here 0: each label reads all features, so there is nothing to rewire."
        )
    rewirings = int(rewire.until * steps.total) // rewire.interval
    why = f"Here {rewire.interval:,} steps: the weakest connections are replaced {rewirings:,} times."
    return Key("interval", "auto", why)
