"""The encoders of prediction compute what those of transformers compute, from the same file of weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xmcpipe.modeling.plain_encoder import PlainEncoder, plain_encoder

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
}
DISTILBERT: dict[str, Any] = {
    "vocab_size": 50,
    "dim": 24,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 40,
    "max_position_embeddings": 20,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", SIZES),
    "bert without token types": ("bert", {**SIZES, "type_vocab_size": 1}),
    "roberta": ("roberta", {**SIZES, "layer_norm_eps": 1e-5, "pad_token_id": 1}),
    "distilbert": ("distilbert", DISTILBERT),
    "distilbert with sinusoids": ("distilbert", {**DISTILBERT, "sinusoidal_pos_embds": True}),
}


def both(kind: str, options: dict[str, Any], folder: Path) -> tuple[torch.nn.Module, PlainEncoder]:
    """The encoder of transformers with random weights, and ours with the same."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(3)
    config = AutoConfig.for_model(kind, **options)
    theirs = AutoModel.from_config(config).eval()
    for parameter in theirs.parameters():  # norms and biases too, which begin as 1 and 0
        parameter.data.normal_(0.0, 0.3)
    config.save_pretrained(folder)
    ours = plain_encoder(json.loads((folder / "config.json").read_text()), theirs.state_dict().keys())
    assert ours is not None
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.eval()


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("padded", [True, False])
def test_the_hidden_states_are_those_of_transformers(case: str, padded: bool, tmp_path: Path) -> None:
    kind, options = CASES[case]
    theirs, ours = both(kind, options, tmp_path)
    pad_id = options.get("pad_token_id", 0)
    ids = torch.randint(5, 50, (6, 11), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    if padded:
        lengths = torch.tensor([11, 1, 5, 11, 2, 7])
        mask = (torch.arange(11) < lengths[:, None]).long()
        ids = torch.where(mask == 1, ids, pad_id)
        ids[2, 1] = pad_id  # a text may hold the token
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        found = ours(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask == 1], expected[mask == 1], rtol=1e-5, atol=1e-5)
    assert ours.config.hidden_size == 24


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"position_embedding_type": "relative_key"}),
        ("bert", {"is_decoder": True}),
        ("bert", {"model_type": "electra"}),
        ("bert", {"num_hidden_layers": 2}),  # the file has three
        ("bert", {"hidden_size": None}),
        ("roberta", {"pad_token_id": None}),
    ],
)
def test_any_other_encoder_is_left_to_transformers(kind: str, change: dict[str, Any], tmp_path: Path) -> None:
    theirs, _ = both(*CASES[kind], tmp_path)
    config = {**json.loads((tmp_path / "config.json").read_text()), **change}
    config = {key: value for key, value in config.items() if value is not None}
    assert plain_encoder(config, theirs.state_dict().keys()) is None
