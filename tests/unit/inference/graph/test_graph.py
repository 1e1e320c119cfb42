"""An exported graph predicts what the model predicts, without xmcpipe; and what isn't exact is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.inference.graph.models import KINDS, LABELS, TEXTS, Kind, run_page, write
from xmcpipe.errors import XmcpipeError
from xmcpipe.inference.bundle import Bundle
from xmcpipe.inference.selection import Selection
from xmcpipe.modeling.saved import load_model

pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from xmcpipe.inference.graph import check, head, model  # noqa: E402
from xmcpipe.stages.beside import export_onnx as stage  # noqa: E402

# Imports of anything that isn't on the page fail.
ALONE = """
import sys
sys.modules.update(dict.fromkeys(("xmcpipe", "torch", "transformers", "onnx", "pyarrow")))
"""


def inputs_of(folder: Path, texts: list[str], k: int) -> dict[str, Any]:
    """The inputs of texts, made of the exported files."""
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(texts)
    inputs = {
        "input_ids": np.array([each.ids for each in tokens]),
        "attention_mask": np.array([each.attention_mask for each in tokens]),
        "k": np.array([k]),
    }
    if (folder / "words.py").exists():
        code: dict[str, Any] = {"__name__": "words"}
        exec(compile((folder / "words.py").read_text("utf-8"), "words.py", "exec"), code)
        inputs |= code["word_inputs"](texts, folder / "words.npz")
    return inputs


def run(folder: Path, texts: list[str], k: int) -> tuple[Any, Any]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    labels, scores = session.run(["labels", "scores"], inputs_of(folder, texts, k))
    return labels, scores


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("small_chunks", [False, True])
def test_the_graph_scores_texts_like_the_model(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, small_chunks: bool
) -> None:
    """Of all labels, so that their order is compared too; in chunks of fewer labels than k."""
    if small_chunks:
        monkeypatch.setattr(head, "MOST_LABELS", 9)
    folder = write(tmp_path / "model", tiny_encoder, KINDS[name])
    found = stage.export_onnx(folder, tmp_path / "onnx")
    assert found.difference < 1e-4
    for texts in (TEXTS, TEXTS[:1], TEXTS[3:]):  # other batches and lengths
        labels, scores = run(tmp_path / "onnx", texts, LABELS)
        expected = Bundle.load(folder).top(texts, Selection(LABELS), 8)
        np.testing.assert_allclose(scores, expected.scores, rtol=1e-5, atol=1e-4)
        assert (labels == expected.labels).mean() > 0.97  # all but neighbours of nearly equal scores
        assert all(set(row) == set(range(LABELS)) for row in labels)


def test_k_is_at_most_the_number_of_labels(tiny_encoder: Path, tmp_path: Path) -> None:
    stage.export_onnx(write(tmp_path / "model", tiny_encoder, Kind(frequent=5)), tmp_path / "onnx")
    assert run(tmp_path / "onnx", TEXTS, 1000)[0].shape == (len(TEXTS), LABELS)
    best, scores = run(tmp_path / "onnx", TEXTS, 3)
    assert best.shape == scores.shape == (len(TEXTS), 3)
    assert np.array_equal(best, run(tmp_path / "onnx", TEXTS, LABELS)[0][:, :3])


@pytest.mark.parametrize("name", ["plain", "words and frequent labels"])
def test_the_program_on_the_page_needs_no_xmcpipe(tiny_encoder: Path, tmp_path: Path, name: str) -> None:
    folder, out = write(tmp_path / "model", tiny_encoder, KINDS[name]), tmp_path / "onnx"
    stage.export_onnx(folder, out)
    call = [sys.executable, "-c", ALONE + run_page(out)]
    done = subprocess.run(call, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *names, scores = json.loads(done.stdout)
    expected = list(Bundle.load(folder).predict(TEXTS, Selection(3)))
    assert names == [[each.label for each in row] for row in expected]
    np.testing.assert_allclose(scores, [[each.score for each in row] for row in expected], atol=1e-4)
    assert done.stderr == "", "a session must warn of nothing"


def test_the_files_and_what_the_page_says(tiny_encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "onnx"
    found = stage.export_onnx(write(tmp_path / "model", tiny_encoder, Kind()), out)
    names = {
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "labels.json",
        "label_texts.json",
        "README.md",
    }
    assert set(found.files) == names == {path.name for path in out.iterdir()}
    assert json.loads((out / "labels.json").read_text("utf-8"))[7] == "lábel 7"
    assert json.loads((out / "label_texts.json").read_text("utf-8"))[6:8] == ["the text of 6", None]
    page = (out / "README.md").read_text("utf-8")
    assert "1 / (1 + exp(-score))" in page
    assert "after 16 tokens" in page
    assert str(tmp_path) not in page
    stage.export_onnx(write(tmp_path / "hinge", tiny_encoder, Kind(loss="squared_hinge")), tmp_path / "two")
    assert "It is no probability." in (tmp_path / "two" / "README.md").read_text("utf-8")


def test_the_graph_is_valid_and_holds_no_large_constant(tiny_encoder: Path, tmp_path: Path) -> None:
    import onnx

    kind = KINDS["words, groups and frequent labels"]
    stage.export_onnx(write(tmp_path / "model", tiny_encoder, kind), tmp_path / "onnx")
    path = tmp_path / "onnx" / "model.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    graph = onnx.load(str(path), load_external_data=False).graph
    assert max(len(each.raw_data) for each in graph.initializer) < 1024
    assert [each.name for each in graph.input] == [
        "input_ids", "attention_mask", "word_ids", "word_weights", "k",
    ]  # fmt: skip
    assert [each.name for each in graph.output] == ["labels", "scores"]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            Kind(encoder="electra"),
            "expected an encoder of one of the kinds bert, roberta, distilbert for ONNX",
        ),
        (Kind(pieces=3), "expected a model of documents in one piece for ONNX"),
    ],
)
def test_a_model_without_an_exact_graph_is_refused(
    tiny_encoder: Path, tmp_path: Path, kind: Kind, says: str
) -> None:
    folder = write(tmp_path / "model", tiny_encoder, kind)
    with pytest.raises(XmcpipeError, match=says):
        stage.export_onnx(folder, tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "part",
    [
        *(
            "head.weight",
            "head.word_weight",
            "frequent.head.bias",
            "encoder.embeddings.word_embeddings.weight",
        ),
        *("encoder.encoder.layer.0.attention.self.key.weight", "encoder.encoder.layer.1.output.dense.bias"),
    ],
)
def test_a_graph_of_other_weights_is_never_published(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    folder = write(tmp_path / "model", tiny_encoder, KINDS["words and frequent labels"])
    right = model.write_graph

    def wrong(of: Any, out: Path) -> None:
        with torch.no_grad():
            parameter = of.get_parameter(part)
            before = parameter.clone()
            parameter.mul_(1.5)
            right(of, out)
            parameter.copy_(before)

    monkeypatch.setattr(model, "write_graph", wrong)
    with pytest.raises(XmcpipeError, match=r"isn't the model, so nothing was written: (scores differ|label)"):
        stage.export_onnx(folder, tmp_path / "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_labels_in_another_order_are_not_the_same() -> None:
    right = np.array([[4, 7, 1, 3]]), np.array([[5.0, 4.0, 4.0, 1.0]])
    scores = right[1][:, :3] + 1e-6
    assert check._compare((np.array([[4, 1, 7]]), scores), right, 3) < 1e-5  # of equal scores
    for labels, rank in (([7, 4, 1], 1), ([4, 7, 3], 3), ([4, 3, 1], 2)):
        with pytest.raises(XmcpipeError, match=f"label {rank} of a document is"):
            check._compare((np.array([labels]), scores), right, 3)
    with pytest.raises(XmcpipeError, match="scores differ by nan"):
        check._compare((right[0][:, :3], scores * np.nan), right, 3)


def test_without_the_packages_the_extra_is_named(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "PACKAGES", ("onnx", "onnxruntime_of_nobody"))
    folder = write(tmp_path / "model", tiny_encoder, Kind())
    with pytest.raises(XmcpipeError, match=r"onnxruntime_of_nobody is missing .*xmcpipe\[onnx\]"):
        stage.export_onnx(folder, tmp_path / "onnx")


def test_a_full_folder_is_left_alone(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "model", tiny_encoder, Kind())
    before = sorted(folder.rglob("*"))
    with pytest.raises(XmcpipeError, match="expected a new or empty folder"):
        stage.export_onnx(folder, folder)
    with pytest.raises(XmcpipeError, match="is not a model artifact"):
        stage.export_onnx(folder / "tokenizer", tmp_path / "onnx")
    assert sorted(folder.rglob("*")) == before
    assert load_model(folder)
