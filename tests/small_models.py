"""A tiny untrained model on disk, with all files that prediction reads."""

import shutil
from pathlib import Path

LABELS = 30


def write_model(folder: Path, encoder: Path, max_length: int = 16) -> Path:
    """A model of 30 labels, "label 0" to "label 29", around the encoder in the folder `encoder`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xmcpipe.modeling import heads
    from xmcpipe.modeling.encoder import load
    from xmcpipe.modeling.heads import HeadShape
    from xmcpipe.modeling.model import Model
    from xmcpipe.modeling.saved import save_model
    from xmcpipe.pieces import Pieces

    head = heads.build(HeadShape("ffi", 32, LABELS, 8, bias=True, seed=2))
    head.reset_parameters()
    folder.mkdir()
    model = Model(load(str(encoder)), "mean", 0.1, 0, head, num_clusters=0)
    save_model(folder, model, Pieces(max_length), {})
    shutil.copytree(
        encoder, folder / "tokenizer", ignore=shutil.ignore_patterns("*.safetensors", "config.json")
    )
    names = [f"label {number}" for number in range(LABELS)]
    texts = [None if number % 2 else f"the text of {number}" for number in range(LABELS)]
    pq.write_table(pa.table({"label": names, "text": texts}), folder / "labels.parquet")
    return folder
