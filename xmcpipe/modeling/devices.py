"""The device to compute on, and the dtypes of mixed precision."""

import torch

from xmcpipe.errors import XmcpipeError

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}  # None: no autocast


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first GPU, or the CPU if there is no GPU.

    Raises XmcpipeError for a device that torch can't use.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise XmcpipeError(
            f"device {name!r} can't be used: {str(error).splitlines()[0]}",
            "leave the option out, or use cpu",
        ) from error
    return device
