"""Finding and loading encoders."""

from pathlib import Path

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.encoder import from_config, load, load_tokenizer, locate, pool


def test_a_folder_loads(tiny_encoder: Path) -> None:
    model, tokenizer = load(str(tiny_encoder)), load_tokenizer(str(tiny_encoder))
    assert model.config.hidden_size == 32
    assert tokenizer("word3 word4")["input_ids"] == [2, 7, 8, 3]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:no_such_package_here", "no such package is installed"),
        ("package:json", "holds no config.json"),
        ("./no/such/folder", "there is no such folder"),
    ],
)
def test_the_error_names_the_missing_encoder(name: str, message: str) -> None:
    with pytest.raises(XmcpipeError, match=message):
        locate(name)


def test_a_hub_id_offline_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(XmcpipeError, match=r"HF_HUB_OFFLINE is set.*use a folder"):
        load("nobody/no-such-encoder")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("google-bert/bert-base-uncased", 109_482_240),
        ("sentence-transformers/msmarco-distilbert-base-v4", 66_362_880),
        ("sentence-transformers/paraphrase-distilroberta-base-v2", 82_118_400),
    ],
)
def test_known_encoders_have_their_published_sizes(name: str, parameters: int) -> None:
    """Without reading a file; the hub states these sizes."""
    with torch.device("meta"):
        model = from_config(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match=r"no config\.json"):
        locate(str(tmp_path))


def test_pooling_ignores_padding() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(hidden, mask, "mean").tolist() == [[2.0, 3.0]]
    assert pool(hidden, mask, "cls").tolist() == [[1.0, 2.0]]
