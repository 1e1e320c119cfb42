"""`train`: trains a model on shards and clusters, and chooses the best checkpoint by a validation split.

A training that was killed continues from its last checkpoint.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.versions import MODEL_VERSION
from xmcpipe.config import to_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.stage import Option, Result, Stage
from xmcpipe.training.config import TrainConfig

if TYPE_CHECKING:
    import torch

    from xmcpipe.memory.measure import FirstStepsMeter
    from xmcpipe.training.trainer import Trainer


def run(config: TrainConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Train on the shards and write the model artifact into `out`; `scratch` holds checkpoints and the log.

    `inputs` has "shards" and, if the auxiliary loss has a weight, "clusters". Raises XmcpipeError for K > D,
    an encoder that can't be found, clusters of other shards, and a loss that isn't finite.
    """
    from xmcpipe.memory.measure import FirstStepsMeter
    from xmcpipe.modeling.devices import pick_device
    from xmcpipe.modeling.encoder import load_tokenizer
    from xmcpipe.modeling.saved import save_model
    from xmcpipe.training.build import new_model
    from xmcpipe.training.feed import Feed, read_clusters
    from xmcpipe.training.trainer import Trainer

    shards = inputs["shards"]
    tokenized = Artifact.at(shards).manifest.config
    device = pick_device(config.device)
    tokenizer = load_tokenizer(str(shards / "tokenizer"))
    feed = Feed(shards, config, tokenizer.pad_token_id or 0, device)
    clusters = None
    if config.auxiliary.weight:  # without it, clusters are neither required nor read
        _require_clusters_of(shards, inputs["clusters"])
        clusters = read_clusters(inputs["clusters"], feed.num_labels)
    num_clusters = 0 if clusters is None else int(clusters.max()) + 1
    encoder_name = config.encoder.name or tokenized["encoder"]
    model = new_model(config, encoder_name, len(tokenizer), feed, num_clusters, device)
    meter = FirstStepsMeter()
    trainer = Trainer(config, model, feed, clusters, device, scratch, meter)
    trainer.fit()
    figures = _figures(trainer, meter, device)
    recipe = {"tokenize": tokenized, "train": to_table(config)}
    if "clusters" in inputs:
        recipe["cluster"] = Artifact.at(inputs["clusters"]).manifest.config
    # The model carries its recipe, tokenizer and label names: it can be used without the store.
    save_model(out, model, tokenized["max_length"], {"recipe": recipe, "figures": figures})
    shutil.copytree(shards / "tokenizer", out / "tokenizer")
    shutil.copyfile(shards / "labels.parquet", out / "labels.parquet")
    shutil.copytree(scratch / "log", out / "log")
    return Result(figures)


def _required(config: TrainConfig) -> tuple[str, ...]:
    """The inputs that this config requires; only the auxiliary loss requires clusters."""
    return ("shards", "clusters") if config.auxiliary.weight else ("shards",)


def _require_clusters_of(shards: Path, clusters: Path) -> None:
    """Raise XmcpipeError unless the clusters were made from these shards: an equal L is not enough."""
    source = Artifact.at(clusters).manifest.inputs.get("shards")
    expected = Artifact.at(shards).manifest.fingerprint
    if source != expected:
        raise XmcpipeError(
            f"expected clusters of shards {expected[:16]}, got clusters of shards {str(source)[:16]}",
            "run `xmcpipe cluster` on the shards that are trained on",
        )


def _figures(trainer: "Trainer", meter: "FirstStepsMeter", device: "torch.device") -> dict[str, Any]:
    """The figures for the manifest: validation, and the cost of the training and of the output layer.

    `first_connections` is the fraction of the initial connections that no rewiring has replaced.
    """
    from xmcpipe.memory.compare import memory_figures

    state, head = trainer.progress, trainer.model.head
    first = head.first_connections()
    best = next((row for row in state.evaluations if row["step"] == state.best_step), {})
    return {
        "validation": {name: value for name, value in best.items() if name.startswith("P@")},
        "best_step": state.best_step,
        "steps": state.step,
        "epochs": round(state.step / trainer.feed.steps_per_epoch, 3),
        "rewirings": state.rewirings,
        **({} if first is None else {"first_connections": round(first, 4)}),
        "head": head.shape.kind,
        "head_parameters": head.num_parameters,
        "head_bytes": head.num_bytes,
        "encoder_parameters": sum(p.numel() for p in trainer.model.encoder.parameters()),
        "seconds": round(state.seconds, 1),
        "seconds_per_step": round(state.seconds / max(state.step, 1), 4),
        "documents_per_second": round(state.documents / max(state.seconds, 1e-9), 1),
        "memory": memory_figures(trainer, meter),
        "device": str(device),
    }


TRAIN = Stage(
    name="train",
    kind="model",
    config=TrainConfig,
    schema_version=MODEL_VERSION,
    inputs=("shards", "clusters"),
    run=run,
    required=_required,
    alternatives={"clusters": "set train.auxiliary.weight = 0"},
    help="Train a model. A training that was killed continues from its last checkpoint.",
    options=(
        Option(
            "--steps",
            key="max_steps",
            type=int,
            metavar="N",
            least=1,
            help="Stop after N steps: short for --set train.max_steps=N.",
        ),
    ),
)
