"""Where to compute, and in which precision."""

import torch

from xmcpipe.errors import XmcpipeError

AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}  # None: no autocast


def pick_device(name: str) -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none.

    Raises XmcpipeError for a device that isn't there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise XmcpipeError(
            f"device {name!r} can't be used: {str(error).splitlines()[0]}",
            "leave it out, or name cpu",
        ) from error
    return device
