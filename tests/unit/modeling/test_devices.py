"""Choosing a device."""

import pytest
import torch

from xmcpipe.errors import XmcpipeError
from xmcpipe.modeling.devices import pick_device


def test_auto_takes_what_there_is():
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu").type == "cpu"


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(XmcpipeError, match="device 'tpu' can't be used"):
        pick_device("tpu")
