"""The encoders of a plan allocate what those of transformers allocate, to the byte."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.memory.meta.encoder import PlannedEncoder
from xmcpipe.memory.meta.encoder_config import known_config, read_config
from xmcpipe.memory.meta.repeated import RepeatedCalls
from xmcpipe.memory.plan import plan
from xmcpipe.memory.shape import BatchShape
from xmcpipe.modeling.encoder import KNOWN, from_config
from xmcpipe.training.config import TrainConfig
from xmcpipe.training.encoder_config import EncoderConfig
from xmcpipe.training.head_config import HeadConfig

SIZES: dict[str, Any] = {
    "vocab_size": 1009,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 104,
    "max_position_embeddings": 40,
}
DISTILBERT: dict[str, Any] = {
    "vocab_size": 1009,
    "dim": 48,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 104,
    "max_position_embeddings": 40,
}
CASES: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", **SIZES},
    "bert without dropout": {
        "model_type": "bert",
        **SIZES,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "type_vocab_size": 1,
    },
    "roberta": {"model_type": "roberta", **SIZES, "type_vocab_size": 1},
    "distilbert": {"model_type": "distilbert", **DISTILBERT},
    "distilbert without attention dropout": {
        "model_type": "distilbert",
        **DISTILBERT,
        "attention_dropout": 0.0,
    },
}
HEAD = HeadConfig(fan_in=16, lr=0.1)
CONFIGS = {
    "paper": TrainConfig(epochs=1, memory="paper", precision="float16", head=HEAD),
    "light": TrainConfig(
        epochs=1,
        memory="light",
        head=dataclasses.replace(HEAD, optimizer="sgd", momentum=0.9),
        encoder=EncoderConfig(pooling="mean", max_grad_norm=0.0),
    ),
    "frozen": TrainConfig(epochs=1, head=HEAD, encoder=EncoderConfig(frozen=True)),
}
SHAPE = BatchShape(labels=61, clusters=0, rows=7, tokens=21, positives=15)


def folder_of(table: dict[str, Any], folder: Path) -> str:
    (folder / "config.json").write_text(json.dumps(table))
    return str(folder)


@pytest.mark.parametrize("memory", CONFIGS)
@pytest.mark.parametrize("case", CASES)
def test_every_number_of_a_plan_is_that_of_transformers(case: str, memory: str, tmp_path: Path) -> None:
    name = folder_of(CASES[case], tmp_path)
    known = read_config(name)
    assert known is not None
    theirs = plan(CONFIGS[memory], lambda: from_config(name), SHAPE, "cuda", 40)
    ours = plan(CONFIGS[memory], lambda: PlannedEncoder(known), SHAPE, "cuda", 40)
    assert ours == theirs
    assert ours.parts["encoder weights"] > 0


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tokens", [16, 40])
def test_lengths_and_pieces_and_the_cpu(case: str, tokens: int, tmp_path: Path) -> None:
    """Multiples of 16 need no padded attention bias; pieces are pooled together."""
    name = folder_of(CASES[case], tmp_path)
    known = read_config(name)
    assert known is not None
    for device, pieces in (("cuda", 0), ("cuda", 10), ("cpu", 0)):
        shape = dataclasses.replace(SHAPE, tokens=tokens, piece_length=pieces)
        dense = dataclasses.replace(
            CONFIGS["paper"], precision="float32", head=HeadConfig(kind="dense", lr=0.1)
        )
        theirs = plan(dense, lambda: from_config(name), shape, device)
        assert plan(dense, lambda: PlannedEncoder(known), shape, device) == theirs


def test_the_encoders_of_the_recipes_are_known() -> None:
    for name in KNOWN:
        found = read_config(name)
        assert found is not None
        with torch.device("meta"):
            theirs, ours = from_config(name), PlannedEncoder(found)
        assert sum(each.numel() for each in ours.parameters()) == theirs.num_parameters()
        assert found.max_position_embeddings == theirs.config.max_position_embeddings


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mpnet"},
        {"model_type": None},
        {"hidden_act": "relu"},
        {"is_decoder": True},
        {"chunk_size_feed_forward": 8},
        {"position_embedding_type": "relative_key"},
        {"attn_implementation": "eager"},
        {"auto_map": {"AutoModel": "code.Model"}},
        {"hidden_size": 50},  # 4 heads
        {"num_hidden_layers": "3"},
        {"vocab_size": 0},
        {"hidden_dropout_prob": 1.5},
        {"pad_token_id": 1009},
    ],
)
def test_any_other_encoder_is_left_to_transformers(change: dict[str, Any]) -> None:
    assert known_config(CASES["bert"]) is not None
    assert known_config({**CASES["bert"], **change}) is None


def test_a_folder_that_is_missing_or_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(XmcpipeError, match="no such folder"):
        read_config(str(tmp_path / "absent"))
    (tmp_path / "config.json").write_text("{")
    assert read_config(str(tmp_path)) is None  # transformers says what is wrong


def test_a_first_plan_of_own_data_imports_little_and_leaves_no_trace(tmp_path: Path) -> None:
    name = folder_of(CASES["bert"], tmp_path)
    given = ["plan", "--set", f"tokenize.encoder={name}", "--set", "tokenize.max_length=16"]
    given += ["--labels", "60", "--documents", "40", "--json"]
    code = (
        "import sys; from xmcpipe.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "slow = ('transformers', 'numba', 'polars', 'torch._dynamo', 'sympy', 'scipy')\n"
        "loaded = [name for name in slow if name in sys.modules]\n"
        "assert not loaded, loaded\n"
        "import torch\n"
        "marked = torch.optim.Optimizer.zero_grad.__wrapped__\n"
        "assert not hasattr(marked, '__dynamo_disable')\n"  # else it would be compiled later
        "assert torch._dynamo.config.cache_size_limit\n"  # the real module
        "from torch.fx.experimental import symbolic_shapes\n"
        "assert symbolic_shapes.guard_or_false.__module__ == symbolic_shapes.__name__\n"
        "import sympy\n"
        "assert isinstance(sympy.Symbol('x'), sympy.Basic)\n"
    )
    environment = {"XMCPIPE_CACHE": str(tmp_path / "cache"), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["labels"] == 60


ATEN = torch.ops.aten


def meta(*size: int) -> torch.Tensor:
    return torch.empty(size, device="meta")


def test_a_result_of_new_tensors_is_remembered() -> None:
    calls = RepeatedCalls()
    args = (meta(3, 5), [5], meta(5), meta(5), 1e-5)
    for func, given in ((ATEN.native_layer_norm.default, args), (ATEN.add.Tensor, (meta(3, 1), meta(1, 4)))):
        key = calls.key(func, given, {})
        assert key is not None
        assert calls.result(key) is None
        result = func(*given)
        calls.remember(key, given, result, 7)
        known = calls.result(key)
        assert known is not None
        assert known[1] == 7
        pairs = zip(_listed(known[0]), _listed(result), strict=True)
        assert all((a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype) for a, b in pairs)
        again = calls.result(key)
        assert again is not None
        first, second = (_listed(each[0])[0].untyped_storage()._cdata for each in (known, again))
        assert first != second  # each call allocates


def _listed(value: Any) -> list[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else list(value)


def test_views_and_changes_in_place_are_never_remembered() -> None:
    calls, given = RepeatedCalls(), meta(3, 4)
    assert calls.key(ATEN.view.default, (given, [4, 3]), {}) is None
    assert calls.key(ATEN.add_.Tensor, (given, given), {}) is None
    key = calls.key(ATEN._unsafe_view.default, (given, [4, 3]), {})
    assert key is not None  # a view that doesn't say so
    calls.remember(key, (given, [4, 3]), ATEN._unsafe_view.default(given, [4, 3]), 0)
    assert calls.result(key) is None


def test_equal_numbers_of_other_types_are_other_calls() -> None:
    calls, given = RepeatedCalls(), torch.empty(3, dtype=torch.int64, device="meta")
    keys = {calls.key(ATEN.mul.Scalar, (given, factor), {}) for factor in (1, 1.0, True)}
    assert len(keys) == 3
