"""`xmcpipe.load` and its model: what the commands predict, by name, with choices made before the cut."""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import xmcpipe
from tests.small_models import write_model
from tests.unit.api.conftest import NAMES, Documents

LABELS = st.lists(st.sampled_from(NAMES), max_size=8)


def names(predictions: list[xmcpipe.Prediction]) -> list[str]:
    return [each.label for each in predictions]


def test_importing_loads_nothing_heavy() -> None:
    program = (
        "import sys, xmcpipe; dir(xmcpipe); print(len({'torch', 'numpy', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_the_public_names_are_those_of_the_types() -> None:
    text = Path(str(xmcpipe.__file__)).with_suffix(".pyi").read_text()
    typed = {*re.findall(r" as (\w+)$", text, re.MULTILINE), "__version__"}
    assert typed == set(xmcpipe.__all__) == set(dir(xmcpipe))
    assert all(hasattr(xmcpipe, name) for name in typed)
    assert Path(str(xmcpipe.__file__)).with_name("py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        xmcpipe.lod  # type: ignore[attr-defined]  # noqa: B018


def test_a_string_is_one_document(model: xmcpipe.Model, test: Documents) -> None:
    rows = model.predict(test.texts, k=3)
    assert [len(row) for row in rows] == [3] * len(test.texts)
    one = model.predict(test.texts[0], k=3)
    assert names(one) == names(rows[0])
    assert [each.score for each in one] == pytest.approx([each.score for each in rows[0]], abs=1e-4)
    assert rows == model.predict(np.array(test.texts), k=3) == model.predict(iter(test.texts), k=3)
    assert model.predict([]) == []
    assert model.predict("  ") == []
    assert sum(names(row)[0] in true for row, true in zip(rows, test.labels, strict=True)) > 30


def test_a_single_prediction_with_words_imports_no_numba(model: xmcpipe.Model) -> None:
    """Numba takes a second; for a few texts torch scores words as well."""
    assert json.loads((model.path / "model.json").read_text())["words"]["count"] > 0
    program = (
        "import sys, xmcpipe\nmodel = xmcpipe.load(sys.argv[1], device='cpu', precision='float32')\n"
        "one = model.predict('word1 word11')\nassert 'numba' not in sys.modules\n"
        "many = model.predict(['word1 word11'] * 8)\nassert 'numba' in sys.modules\n"
        "print(max(abs(a.score - b.score) for a, b in zip(one, many[0], strict=True)))"
    )
    call = [sys.executable, "-c", program, str(model.path)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert float(done.stdout) < 1e-5, done.stderr


def test_a_damaged_model_is_not_loaded(model: xmcpipe.Model, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model.path, copy)
    xmcpipe.load(copy, device="cpu")
    weights = copy / "encoder" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-9] ^= 1
    weights.write_bytes(content)
    with pytest.raises(xmcpipe.XmcpipeError, match=r"encoder/model\.safetensors was changed"):
        xmcpipe.load(copy, device="cpu")
    assert xmcpipe.load(copy, device="cpu", verify=False).predict("word1")


def test_a_probability_is_the_logistic_function_of_the_score(model: xmcpipe.Model, test: Documents) -> None:
    assert model.has_probabilities
    for row in model.predict(test.texts, k=6):
        for each in row:
            assert each.probability == pytest.approx(1 / (1 + math.exp(-each.score)), abs=1e-6)
        assert row == sorted(row, key=lambda each: -each.score)


@given(threshold=st.floats(0, 1))
def test_a_threshold_keeps_the_labels_above_it(
    model: xmcpipe.Model, test: Documents, threshold: float
) -> None:
    text = test.texts[0]
    every, kept = model.predict(text, k=6), model.predict(text, k=6, threshold=np.float64(threshold))
    assert kept == [each for each in every if each.probability is not None and each.probability >= threshold]


@given(allow=st.none() | LABELS, deny=st.none() | LABELS, k=st.integers(1, 7))
def test_choices_are_made_before_the_cut(
    model: xmcpipe.Model, test: Documents, allow: list[str] | None, deny: list[str] | None, k: int
) -> None:
    left = {name for name in NAMES if (allow is None or name in allow) and name not in (deny or ())}
    if not left:
        with pytest.raises(xmcpipe.XmcpipeError, match="leave no label"):
            model.predict(test.texts[0], k, allow=allow, deny=deny)
        return
    expected = [each for each in model.predict(test.texts[0], k=6) if each.label in left][:k]
    assert model.predict(test.texts[0], k, allow=allow, deny=deny) == expected


def test_the_command_predicts_the_same(fitted: Any, test: Documents, tmp_path: Path) -> None:
    from xmcpipe.cli.app import app

    model = xmcpipe.load(str(fitted.model_.path))
    command = ["predict", "--model", str(fitted.model_.path), "--text", test.texts[0], "--top", "3", "--json"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    row = json.loads(done.stdout.splitlines()[-1])
    found = [(each.label, each.text, round(each.score, 6)) for each in model.predict(test.texts[0], k=3)]
    assert found == [(each["label"], each["text"], each["score"]) for each in row["labels"]]


def test_labels_and_embeddings(model: xmcpipe.Model, test: Documents, tiny_encoder: Path) -> None:
    assert model.labels == sorted(NAMES)
    assert model.label_texts == ["programs to edit text", *[None] * 5]
    vectors = model.encode(test.texts)
    assert (vectors.shape, vectors.dtype) == ((len(test.texts), 32), np.dtype(np.float32))
    np.testing.assert_allclose(model.encode(test.texts[3]), vectors[3], atol=1e-5)
    assert model.encode([]).shape == (0, 32)
    from transformers import AutoModel, AutoTokenizer

    encoder = AutoModel.from_pretrained(model.path / "encoder")
    tokens = AutoTokenizer.from_pretrained(model.path / "tokenizer")(test.texts[3], return_tensors="pt")
    with torch.no_grad():
        mean_E = encoder(**tokens).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(vectors[3], mean_E, atol=1e-5)  # the frozen encoder, and mean pooling


def test_scores_that_favour_rare_labels_have_the_same_probabilities(
    model: xmcpipe.Model, test: Documents, tmp_path: Path
) -> None:
    from xmcpipe.api.model import open_bundle
    from xmcpipe.inference.selection import Selection
    from xmcpipe.stages.predict import PredictConfig

    plain, other = (
        {
            each.label: each
            for each in next(open_bundle(model.folders, config).predict([test.texts[0]], Selection(6)))
        }
        for config in (
            PredictConfig(precision="float32"),
            PredictConfig(precision="float32", propensity_weight=1.0),
        )
    )
    for name in NAMES:
        assert other[name].score > plain[name].score + 0.1
        assert other[name].probability == pytest.approx(plain[name].probability, abs=1e-6)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model: model.predict(None), "expected texts, a list of strings, got None"),
        (lambda model: model.predict(["a", 3]), "expected strings in texts, got int in row 1"),
        (lambda model: model.predict(["a", None]), 'got None in row 1 .*missing value with ""'),
        (lambda model: model.predict({"a": 1}), "expected texts, a list of strings, got dict"),
        (lambda model: model.predict(b"a"), "expected texts, a list of strings, got bytes"),
        (lambda model: model.encode([["a"]]), "expected strings in texts, got list in row 0"),
        (lambda model: model.predict("a", k=0), "expected k, a whole number from 1, got 0"),
        (lambda model: model.predict("a", batch_size=1.5), "expected batch_size, a whole number from 1"),
        (lambda model: model.predict("a", threshold=50), "expected threshold, a probability, got 50"),
        (lambda model: model.predict("a", allow=["editor"]), "expected labels of the model in allow"),
        (lambda model: model.predict("a", deny=["x", "y"]), "in deny, got 'x' and 1 more"),
        (lambda model: model.predict("a", deny=[3]), "expected strings in deny, got int in place 0"),
        (lambda model: xmcpipe.load(model.path / "none"), "there is no folder"),
        (lambda model: xmcpipe.load(str(model.path / "none")), "there is no folder"),
        (lambda model: xmcpipe.load(model.path.parent), "is not a model artifact"),
        (lambda model: xmcpipe.load("quickstat"), "there is no recipe 'quickstat'"),
        (lambda model: xmcpipe.load("eurlex4k", store=model.path), "predict needs model, which isn't in"),
        (lambda model: xmcpipe.load(model.path, device="abacus"), "device 'abacus' can't be used"),
        (lambda model: xmcpipe.load(model.path, precision="int3"), "predict.precision"),
        (lambda _: xmcpipe.load(3),  # type: ignore[arg-type]
         "expected the path of a model or recipe, got int"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(model: xmcpipe.Model, ask: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(xmcpipe.XmcpipeError, match=message) as error:
        ask(model)
    assert "\n" not in str(error.value)


def test_a_model_without_a_known_loss_has_no_probabilities(tiny_encoder: Path, tmp_path: Path) -> None:
    model = xmcpipe.load(write_model(tmp_path / "model", tiny_encoder), device="cpu")
    assert not model.has_probabilities
    assert [each.probability for each in model.predict("word1", k=2)] == [None, None]
    with pytest.raises(xmcpipe.XmcpipeError, match="has no probabilities: it was not trained"):
        model.predict("word1", threshold=0.5)
