"""The device to compute on, and the dtypes of mixed precision.

A processor that has no instructions for a type of 16 bits computes in float32, which is faster there and at
least as exact.
"""

import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.machine.processor import NAMES, multiplies

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


def autocast_dtype(precision: str, device_type: str) -> torch.dtype | None:
    """The dtype of autocast for `precision` on a device of this type; None to compute in float32.

    `precision` is "float32", "bfloat16" or "float16"; `device_type` is "cpu", "cuda", ...
    """
    return AUTOCAST[arithmetic(precision, device_type)]


def arithmetic(precision: str, device_type: str) -> str:
    """The name of the type that `precision` is computed in on a device of this type."""
    return precision if device_type != "cpu" or multiplies(precision) else "float32"


def said_of(precision: str, device_type: str, stored: bool = False) -> str:
    """A line that says that this precision is computed in float32, or is slow; "" if neither is so.

    `stored`: weights have the type themselves, so that they are multiplied in it wherever they are.
    """
    if arithmetic(precision, device_type) == precision:
        return ""
    lacks = f"this processor has no instructions for {precision} ({NAMES[precision]})"
    if stored:
        return f"{lacks}, so a step takes many times as long; set train.precision = 'float32'"
    return f"{lacks}: computing in float32, which is faster here"
