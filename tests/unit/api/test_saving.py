"""A model is copied with its card, and travels by a hub."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xmcpipe
from tests.hub_server import serve
from tests.unit.api.conftest import Documents

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys, xmcpipe
print(xmcpipe.load(sys.argv[1], device="cpu").push_to_hub("me/papers"))
print([each.label for each in xmcpipe.load("me/papers", device="cpu").predict(sys.argv[2], k=6)])
try:
    xmcpipe.load("me/nothing")
except xmcpipe.XmcpipeError as error:
    print(error.message.partition(":")[0])
"""


def test_a_saved_model_predicts_the_same(model: xmcpipe.Model, test: Documents, tmp_path: Path) -> None:
    model.save(tmp_path / "papers")
    saved = xmcpipe.load(tmp_path / "papers", device="cpu", precision="float32")
    assert saved.predict(test.texts) == model.predict(test.texts)
    assert not (tmp_path / "papers" / "manifest.json").exists()
    saved.save(tmp_path / "again")
    with pytest.raises(xmcpipe.XmcpipeError, match="exists already"):
        model.save(tmp_path / "papers")
    assert {path.name for path in tmp_path.iterdir()} == {"papers", "again"}


def test_only_ordinary_files_of_a_model_are_copied(model: xmcpipe.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "papers")
    for name, target in (("zero", "/dev/zero"), ("above", ".."), ("nowhere", "nowhere")):
        (tmp_path / "papers" / name).symlink_to(target)  # no parts of a model
    os.mkfifo(tmp_path / "papers" / "pipe")
    saved = xmcpipe.load(tmp_path / "papers", device="cpu")
    saved.save(tmp_path / "again")
    names = {path.name for path in (tmp_path / "papers").iterdir()}
    assert {path.name for path in (tmp_path / "again").iterdir()} == names - {
        *("zero", "above", "nowhere", "pipe")
    }
    for number, target in enumerate(("/dev/zero", "..", "nowhere")):
        (tmp_path / "papers" / "tokenizer" / "strange").symlink_to(target)
        with pytest.raises(xmcpipe.XmcpipeError, match="strange: expected an ordinary file or folder"):
            saved.save(tmp_path / f"other{number}")
        (tmp_path / "papers" / "tokenizer" / "strange").unlink()
    assert {path.name for path in tmp_path.iterdir()} == {"papers", "again"}


def test_the_card_has_the_figures_and_no_path(
    model: xmcpipe.Model, tiny_encoder: Path, tmp_path: Path
) -> None:
    model.save(tmp_path / "papers")
    card = (tmp_path / "papers" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: xmcpipe\n")
    figures = json.loads((model.path / "model.json").read_text())["figures"]["validation"]
    assert f"| P@1 | {100 * figures['P@1']:.1f} |" in card
    for line in ("# papers", "| labels | 6 |", "| loss | bce |", "| encoder trained | no |"):
        assert line in card.splitlines()
    assert 'xmcpipe.load("papers")' in card
    assert str(tiny_encoder.parent) not in card


def test_a_model_travels_by_a_hub(model: xmcpipe.Model, test: Documents, tmp_path: Path) -> None:
    with serve(tmp_path / "hub") as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", PROGRAM, str(model.path), test.texts[0]]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        asked, files = hub.created[0], hub.files("me/papers")
    assert done.stdout.splitlines() == [
        f"{hub.address}/me/papers",
        str([each.label for each in model.predict(test.texts[0], k=6)]),
        "there is no folder me/nothing, and no such model from the hub",
    ], done.stderr
    # Older versions of huggingface_hub send the second key.
    assert asked.get("visibility") == "private" or asked.get("private") is True
    assert files is not None
    assert {"README.md", "model.json", "model.safetensors", "encoder/model.safetensors"} <= files.keys()
    assert not any(name.startswith(("log", "manifest")) for name in files)


def test_a_name_that_the_hub_cannot_have_is_refused(model: xmcpipe.Model) -> None:
    with pytest.raises(xmcpipe.XmcpipeError, match="expected a name USER/MODEL on the hub, got 'papers'"):
        model.push_to_hub("papers")


def test_an_onnx_graph_of_a_loaded_model(model: xmcpipe.Model, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    assert model.export_onnx(tmp_path / "onnx") < 1e-4
    session = runtime.InferenceSession(tmp_path / "onnx" / "model.onnx")
    assert [each.name for each in session.get_outputs()] == ["labels", "scores"]
    assert json.loads((tmp_path / "onnx" / "labels.json").read_text()) == model.labels
    with pytest.raises(xmcpipe.XmcpipeError, match="expected a new or empty folder"):
        model.export_onnx(tmp_path / "onnx")


def test_a_copy_orders_labels_as_its_recipe_says(
    model: xmcpipe.Model, test: Documents, tmp_path: Path
) -> None:
    model.save(tmp_path / "one")
    path = tmp_path / "one" / "predict.json"
    assert json.loads(path.read_text()) == {"order": "score", "propensity_weight": 0.0}
    path.write_text('{"propensity_weight": 50.0}')
    rare_first = xmcpipe.load(tmp_path / "one", device="cpu", precision="float32")
    expected = rare_first.predict(test.texts, k=1)
    assert expected != model.predict(test.texts, k=1)
    rare_first.save(tmp_path / "two")
    copy = xmcpipe.load(tmp_path / "two", device="cpu", precision="float32")
    assert copy.predict(test.texts, k=1) == expected
    command = [sys.executable, "-m", "xmcpipe", "predict", "--model", str(tmp_path / "two"), "--json"]
    command += ["--set", "predict.precision=float32", "--top", "1", "--text", test.texts[0]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["labels"][0]["label"] == expected[0][0].label


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected a JSON object, got list"),
        ('{"order": "best"}', "expected"),
        ('{"propensity_weight": -1}', "expected propensity_weight >= 0"),
        ('{"propensity_weight": NaN}', "expected"),
        ('{"allow": "/etc/hostname"}', "expected order and propensity_weight, got allow"),
        ('{"order": ' + "[" * 60_000, "nested too deeply"),
    ],
)
def test_a_strangers_order_is_checked(model: xmcpipe.Model, tmp_path: Path, text: str, message: str) -> None:
    model.save(tmp_path / "one")
    (tmp_path / "one" / "predict.json").write_text(text)
    with pytest.raises(xmcpipe.XmcpipeError, match=message) as error:
        xmcpipe.load(tmp_path / "one", device="cpu")
    assert "predict.json" in error.value.message
    assert "\n" not in str(error.value)
