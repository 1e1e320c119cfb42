"""The sha256 of everything that seeded trainings write, to show that a change of the code changes no result.

    python -m tests.bench.same_bytes before.txt      # at the commit before
    python -m tests.bench.same_bytes after.txt       # at the commit after, on the same machine
    diff before.txt after.txt

Seven recipes on synthetic data cover both memory modes, the losses, the heads, rewiring by fraction and by
threshold, the intermediate layer and the auxiliary loss; each runs from download to metrics, about a minute
and a half in all. The names of the folders are fingerprints, so they are compared as well. Left out are
manifests, logs and the figures in model.json, which hold times.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.encoders import write_encoder

DOCUMENTS, LABELS = 1500, 300
RECIPE = """
[download]
dataset = "synthetic"
documents = {documents}
labels = {labels}
[tokenize]
encoder = "{encoder}"
max_length = 32
[cluster]
num_clusters = 16
[train]
seed = 3
epochs = 3
batch_size = 32
warmup_steps = 10
gradients_every = 20
[train.encoder]
lr = 1e-3
[train.rewire]
interval = 10
[predict]
[eval]
"""
AUXILIARY = ["auxiliary.weight=0.4", "auxiliary.cutoff_epoch=2.0"]
LIGHT = ["memory=light", "head.optimizer=sgd"]
CHANGES = {
    "paper": ["precision=float32", "head.fan_in=8", "head.bias=true", *AUXILIARY],
    "paper, sgd": [
        "loss=bce", "accumulation=2", "encoder.pooling=mean", "head.fan_in=24", "head.bias=true",
        "head.bias_init=prior", "head.optimizer=sgd", "head.lr=1.0", "rewire.mode=threshold",
    ],
    "paper, intermediate": [
        "loss=bce", "bce_reduction=sum", "precision=float32", "encoder.checkpointing=true", "head.fan_in=8",
        "head.intermediate=64", "head.optimizer=adam",
    ],
    "light": [*LIGHT, "head.fan_in=8", "head.bias=true", "head.lr=20.0", *AUXILIARY],
    "light, float32": [*LIGHT, "loss=bce", "precision=float32", "head.fan_in=24", "head.momentum=0.0"],
    "dense": ["loss=bce", "head.kind=dense", "head.bias=true"],
    "bottleneck": ["head.kind=bottleneck", "head.fan_in=8"],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="File for the lines: sha256, path in the store.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        # A path is part of a recipe, so of fingerprints: the encoder has the same one on every run.
        encoder, folder = Path(tempfile.gettempdir()) / "xmcpipe-same-bytes-encoder", Path(name)
        write_encoder(encoder, words())
        recipe = folder / "recipe.toml"
        recipe.write_text(RECIPE.format(documents=DOCUMENTS, labels=LABELS, encoder=encoder))
        for title, changes in CHANGES.items():
            print(title, flush=True)
            settings = [word for change in changes for word in ("--set", f"train.{change}")]
            command = [sys.executable, "-m", "xmcpipe", "run", str(recipe), "--store", str(folder / "store")]
            subprocess.run([*command, *settings], check=True, capture_output=True)
        lines = [f"{digest(path)}  {path.relative_to(folder)}" for path in files(folder / "store")]
    options.out.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} files, {hashlib.sha256(options.out.read_bytes()).hexdigest()}")


def words() -> list[str]:
    """Words of the synthetic text, as many as a small encoder has embeddings for."""
    from xmcpipe.data.sources import synthetic

    batches = synthetic.documents(DOCUMENTS, LABELS, 0)
    return sorted({word for batch in batches for text in batch["text"] for word in text.split()})[:3000]


def files(store: Path) -> list[Path]:
    """What a training and its evaluation wrote, in a fixed order."""
    found = (path for path in store.glob("[!.]*/*/**/*") if path.is_file())
    return sorted(path for path in found if path.name != "manifest.json" and "log" not in path.parts)


def digest(path: Path) -> str:
    content = path.read_bytes()
    if path.name == "model.json":
        facts = json.loads(content)
        del facts["figures"]
        content = json.dumps(facts).encode()
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
