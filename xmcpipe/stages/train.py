"""`train`: shards and clusters to a model, chosen by a validation split, going on where a killed run
stopped.
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

    from xmcpipe.training.trainer import Trainer


def run(config: TrainConfig, inputs: Mapping[str, Path], out: Path, scratch: Path) -> Result:
    """Train on the shards and write the model artifact into `out`; checkpoints are kept in `scratch`.

    `inputs` holds "shards", and "clusters" where the auxiliary loss is on. Raises XmcpipeError for K > D, an
    encoder that can't be found, clusters of another vocabulary, and a loss that isn't finite.
    """
    from xmcpipe.modeling.devices import pick_device
    from xmcpipe.modeling.encoder import load_tokenizer
    from xmcpipe.modeling.saved import save_model
    from xmcpipe.training.build import build_model
    from xmcpipe.training.feed import Feed, read_clusters
    from xmcpipe.training.trainer import Trainer

    shards = inputs["shards"]
    tokenized = Artifact.at(shards).manifest.config
    device = pick_device(config.device)
    tokenizer = load_tokenizer(str(shards / "tokenizer"))
    feed = Feed(shards, config, tokenizer.pad_token_id or 0, device)
    clusters = None
    if config.auxiliary.weight:
        _require_clusters_of(shards, inputs["clusters"])
        clusters = read_clusters(inputs["clusters"], feed.num_labels)
    num_clusters = 0 if clusters is None else int(clusters.max()) + 1
    encoder_name = config.encoder.name or tokenized["encoder"]
    model = build_model(config, encoder_name, len(tokenizer), feed, num_clusters, device)
    trainer = Trainer(config, model, feed, clusters, device, scratch)
    trainer.fit()
    figures = _figures(trainer, device)
    recipe = {"tokenize": tokenized, "train": to_table(config)}
    if "clusters" in inputs:
        recipe["cluster"] = Artifact.at(inputs["clusters"]).manifest.config
    save_model(out, model, tokenized["max_length"], {"recipe": recipe, "figures": figures})
    shutil.copytree(shards / "tokenizer", out / "tokenizer")
    shutil.copyfile(shards / "labels.parquet", out / "labels.parquet")
    shutil.copytree(scratch / "log", out / "log")
    return Result(figures)


def _required(config: TrainConfig) -> tuple[str, ...]:
    """The inputs that this training can't do without: clusters only for the auxiliary loss."""
    return ("shards", "clusters") if config.auxiliary.weight else ("shards",)


def _require_clusters_of(shards: Path, clusters: Path) -> None:
    """Raise XmcpipeError unless the clusters were made of these very shards: an equal L isn't enough."""
    made_of = Artifact.at(clusters).manifest.inputs.get("shards")
    given = Artifact.at(shards).manifest.fingerprint
    if made_of != given:
        raise XmcpipeError(
            f"the clusters are of shards {str(made_of)[:16]}, the shards are {given[:16]}",
            "run `xmcpipe cluster` on the shards that are trained on",
        )


def _figures(trainer: "Trainer", device: "torch.device") -> dict[str, Any]:
    """Validation figures, and what the training and the layer cost; `first_connections`: the share that no
    rewiring replaced.
    """
    from xmcpipe.memory.compare import memory_figures
    from xmcpipe.modeling.heads import FFIHead

    state, head = trainer.progress, trainer.model.head
    best = next((row for row in state.evaluations if row["step"] == state.best_step), {})
    return {
        "validation": {name: value for name, value in best.items() if name.startswith("P@")},
        "best_step": state.best_step,
        "steps": state.step,
        "epochs": round(state.step / trainer.feed.steps_per_epoch, 3),
        "rewirings": state.rewirings,
        **({"first_connections": round(head.first_connections(), 4)} if isinstance(head, FFIHead) else {}),
        "head": trainer.model.head.shape.kind,
        "head_parameters": head.num_parameters,
        "head_bytes": head.num_bytes,
        "encoder_parameters": sum(p.numel() for p in trainer.model.encoder.parameters()),
        "seconds": round(state.seconds, 1),
        "seconds_per_step": round(state.seconds / max(state.step, 1), 4),
        "documents_per_second": round(state.documents / max(state.seconds, 1e-9), 1),
        "memory": memory_figures(trainer),
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
