"""A model on disk: a loaded model scores the same, and inconsistent files are errors."""

import json
from pathlib import Path

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling import encoder, heads, tensors
from xmcpipe.modeling.heads import HeadShape
from xmcpipe.modeling.model import Model
from xmcpipe.modeling.saved import load_model, save_model
from xmcpipe.pieces import Pieces


@pytest.fixture(params=["ffi", "dense", "bottleneck"])
def saved(request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path: Path) -> tuple[Model, Path]:
    head = heads.build(HeadShape(request.param, 24, 30, 5, bias=True, seed=2))
    head.reset_parameters()
    assert head.bias is not None
    head.bias.data.normal_()
    model = Model(encoder.load(str(tiny_encoder)), "mean", 0.5, 24, head, num_clusters=3)
    save_model(tmp_path, model, Pieces(48), {"figures": {"P@1": 0.5}})
    return model.eval(), tmp_path


def scores(model: Model) -> torch.Tensor:
    ids = torch.tensor([[2, 9, 11, 3], [2, 8, 3, 0]])
    with torch.no_grad():
        features = model.features(model.embed(ids, (ids > 0).long()))
        return model.head.scores(model.head.project(features), 0, 30)


def test_a_loaded_model_scores_the_same(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    loaded, facts = load_model(folder)
    assert torch.equal(scores(loaded), scores(model))
    assert loaded.auxiliary is None
    assert facts["max_length"] == 48
    assert facts["figures"] == {"P@1": 0.5}
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "model.json", "encoder"}


def test_the_encoder_opens_with_transformers(saved: tuple[Model, Path]) -> None:
    from transformers import AutoModel

    model, folder = saved
    loaded = AutoModel.from_pretrained(folder / "encoder")
    trained = model.encoder.state_dict()
    assert loaded.state_dict().keys() == trained.keys()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in loaded.state_dict().items())


def test_a_model_with_all_tensors_in_one_file_is_still_read(saved: tuple[Model, Path]) -> None:
    """The layout of the first models."""
    model, folder = saved
    weights = folder / "encoder" / "model.safetensors"
    encoder = {f"encoder.{name}": tensor for name, tensor in tensors.load(weights).items()}
    weights.unlink()
    with pytest.raises(XmcpipeError, match=r"encoder/model\.safetensors can't be read"):
        load_model(folder)
    path = folder / "model.safetensors"
    tensors.save(path, {**tensors.load(path), **encoder})
    assert torch.equal(scores(load_model(folder)[0]), scores(model))


def test_an_encoder_saved_in_half_precision_is_loaded_in_full(saved: tuple[Model, Path]) -> None:
    model, folder = saved
    path = folder / "encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dtype": "float16"}))
    loaded, _ = load_model(folder)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert torch.equal(scores(loaded), scores(model))


def test_the_head_of_a_light_model_stays_in_half_precision(tiny_encoder: Path, tmp_path: Path) -> None:
    head = heads.build(HeadShape("ffi", 32, 30, 8, bias=True, seed=2, dtype="bfloat16"))
    head.reset_parameters()
    model = Model(encoder.load(str(tiny_encoder)).bfloat16(), "mean", 0.5, 0, head, num_clusters=0)
    save_model(tmp_path, model, Pieces(48), {})
    loaded, facts = load_model(tmp_path)
    assert facts["head"]["dtype"] == "bfloat16"
    dtypes = {
        name: tensor.dtype for name, tensor in loaded.state_dict().items() if tensor.is_floating_point()
    }
    assert dtypes.pop("head.weight") == torch.bfloat16
    assert set(dtypes.values()) == {torch.float32}
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name].float(), tensor.float()), name
    full = heads.build(HeadShape("ffi", 32, 30, 8, bias=True))
    full.load_state_dict(
        {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in loaded.head.state_dict().items()
        }
    )
    features = torch.randn(3, 32)
    torch.testing.assert_close(loaded.head.scores(features, 0, 30), full.scores(features, 0, 30))


def test_another_format_or_no_model_is_an_error(
    saved: tuple[Model, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, folder = saved
    table = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**table, "schema_version": 99}))
    with pytest.raises(XmcpipeError, match=r"expected model format .*got 99.*run `xmcpipe train` again"):
        load_model(folder)
    with pytest.raises(XmcpipeError, match="is not a model artifact"):
        load_model(tmp_path_factory.mktemp("empty"))


def test_weights_that_do_not_match_are_an_error(saved: tuple[Model, Path]) -> None:
    _, folder = saved
    state = tensors.load(folder / "model.safetensors")
    state.pop("head.bias")
    tensors.save(folder / "model.safetensors", state)
    with pytest.raises(XmcpipeError, match=r"head\.bias"):
        load_model(folder)


def test_a_truncated_file_is_an_error(saved: tuple[Model, Path]) -> None:
    _, folder = saved
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(XmcpipeError, match="can't be read as safetensors"):
        load_model(folder)


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    one = torch.arange(6.0)
    tensors.save(tmp_path / "t.safetensors", {"a": one, "b": one, "index": one.int().to(torch.uint16)})
    loaded = tensors.load(tmp_path / "t.safetensors")
    assert torch.equal(loaded["a"], one)
    assert torch.equal(loaded["b"], one)
    assert loaded["index"].dtype == torch.uint16


@pytest.mark.parametrize("name", ["head.weight", "head.bias", "intermediate.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_an_error(saved: tuple[Model, Path], name: str, value: float) -> None:
    _, folder = saved
    state = tensors.load(folder / "model.safetensors")
    state[name].view(-1)[-1] = value
    tensors.save(folder / "model.safetensors", state)
    with pytest.raises(XmcpipeError, match=rf"{name}: expected finite weights, got some that are not"):
        load_model(folder)


def test_a_weight_of_the_encoder_that_is_no_number_is_an_error(saved: tuple[Model, Path]) -> None:
    _, folder = saved
    path = folder / "encoder" / "model.safetensors"
    state = tensors.load(path)
    state["embeddings.LayerNorm.weight"][0] = float("nan")
    tensors.save(path, state, {"format": "pt"})
    with pytest.raises(XmcpipeError, match=r"LayerNorm\.weight: expected finite weights"):
        load_model(folder)


def test_a_weight_of_8_bits_that_is_no_number_is_an_error(tiny_encoder: Path, tmp_path: Path) -> None:
    head = heads.build(HeadShape("ffi", 32, 30, 5, bias=False, dtype="float8", seed=2))
    head.reset_parameters()
    save_model(tmp_path, Model(encoder.load(str(tiny_encoder)), "mean", 0.0, 0, head, 0), Pieces(48), {})
    load_model(tmp_path)
    state = tensors.load(tmp_path / "model.safetensors")
    state["head.weight"].view(torch.uint8)[3, 1] = 0xFF
    tensors.save(tmp_path / "model.safetensors", state)
    with pytest.raises(XmcpipeError, match=r"head\.weight: expected finite weights"):
        load_model(tmp_path)
