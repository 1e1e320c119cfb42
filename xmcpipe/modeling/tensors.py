"""Tensors to and from safetensors files, written whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xmcpipe.errors import XmcpipeError


def save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` (moved to the CPU) to `path`, beside it first and renamed once."""
    seen: set[int] = set()
    host: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        copy = tensor.detach().to("cpu").contiguous()
        if (
            copy.nbytes and copy.data_ptr() in seen
        ):  # tied weights: the format wants each tensor to own its bytes
            copy = copy.clone()
        seen.add(copy.data_ptr())
        host[name] = copy
    beside = path.with_name(path.name + ".part")
    save_file(host, beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.rename(path)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of `path`.

    Raises XmcpipeError for a file that isn't safetensors.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise XmcpipeError(f"{path} can't be read as safetensors: {error}", "run the stage again") from error
    return tensors
