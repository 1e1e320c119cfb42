"""Exports a trained model as an ONNX graph, with everything that a program without xmcpipe needs.

model.onnx, model.onnx.data, tokenizer.json, labels.json, README.md; label_texts.json if labels have texts,
and words.npz and words.py if the model reads words. The graph is compared with the model before the folder
appears.
"""

import logging
from pathlib import Path
from typing import NamedTuple

from xmcpipe.artifacts.manifest import FILE_NAME
from xmcpipe.artifacts.store import Artifact
from xmcpipe.artifacts.verified import require_whole
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.beside.new_folder import new_folder, sizes_of_files

PACKAGES = ("onnx", "onnxruntime")
logger = logging.getLogger(__name__)


class OnnxExport(NamedTuple):
    """The bytes of each file by its name, the documents compared, and the largest difference of scores."""

    files: dict[str, int]
    documents: int
    difference: float


def export_onnx(folder: Path, out: Path) -> OnnxExport:
    """Export the model in `folder` to `out`, a new or empty folder; after an error, no files are left.

    `folder` is a model artifact, or a copy of one. Scores are those of the model without what
    predict.propensity_weight adds. Raises XmcpipeError if the packages of the extra `onnx` are missing, for a
    folder without a model, for a model that has no exact graph (`inference.graph.model`), if the graph isn't
    the model, and if `out` is not empty.
    """
    _require_packages()
    from xmcpipe.data.vocabulary_file import read_vocabulary
    from xmcpipe.inference.bundle import require_encodable
    from xmcpipe.inference.graph import files
    from xmcpipe.inference.graph.check import require_same
    from xmcpipe.inference.graph.model import require_exportable, write_graph
    from xmcpipe.inference.probability import is_logistic
    from xmcpipe.inference.text_encoding import TextEncoder
    from xmcpipe.modeling.saved import load_model
    from xmcpipe.pieces import Pieces

    if (folder / FILE_NAME).is_file():
        require_whole(Artifact.at(folder))
    model, facts = load_model(folder)
    require_exportable(model, folder)
    labels, pieces = read_vocabulary(folder, model.head.num_labels), Pieces.of(facts)
    texts = TextEncoder(folder / "tokenizer", pieces)
    require_encodable(model, texts.num_tokens, pieces.max_length, folder)
    with new_folder(out) as building:
        logger.info("export: writing the graph of %s", folder)
        write_graph(model, building)
        files.write_labels(building, labels)
        files.write_tokenizer(building, texts)
        if model.words is not None:
            files.write_words(building, model.words)
        logger.info("export: comparing the graph with the model")
        agreement = require_same(model, building, texts.num_tokens, pieces.max_length)
        page = {"name": folder.resolve().name, "labels": len(labels), "max_length": pieces.max_length}
        words, logistic = model.words is not None, is_logistic(facts)
        files.write_page(building, words, logistic, **page, **agreement._asdict())
        return OnnxExport(sizes_of_files(building), *agreement)


def _require_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise XmcpipeError(
            f"the export to ONNX needs the packages {' and '.join(PACKAGES)}, but {missing[0]} is missing",
            "pip install 'xmcpipe[onnx]'",
        )
