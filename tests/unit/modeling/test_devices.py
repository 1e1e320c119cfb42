"""Picking a device."""

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.devices import pick_device


def test_auto_picks_a_gpu_if_there_is_one() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu").type == "cpu"


def test_the_error_names_a_device_that_does_not_exist() -> None:
    with pytest.raises(XmcpipeError, match="device 'tpu' can't be used"):
        pick_device("tpu")
