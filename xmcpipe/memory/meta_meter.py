"""Counts the bytes of meta tensors as if they were on a real device, and the operations of the encoder."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from xmcpipe.memory.device import EmulatedDevice
from xmcpipe.memory.live_bytes import NAMESPACE, LiveBytes
from xmcpipe.memory.meta.repeated import RepeatedCalls
from xmcpipe.memory.parts import ACTIVATIONS, SCORES
from xmcpipe.memory.workspace import workspace_on_cpu, workspace_on_gpu

CPU = torch.device("cpu")
CUDA_BLOCK = 512  # bytes; torch's allocator returns multiples of it


class MetaMeter(LiveBytes):  # type: ignore[no-untyped-call]
    """LiveBytes for meta tensors that stand for tensors on `device`, "cpu" or "cuda".

    Enter `functions` together with it. `flops`: floating-point operations so far, without those of our own
    operators.
    """

    def __init__(self, device: str) -> None:
        super().__init__(CUDA_BLOCK if device == "cuda" else 1)
        self.device = device
        self.functions = EmulatedDevice(device)
        self.flops = 0
        self._workspaces: dict[Any, int] = {}
        self._repeated = RepeatedCalls()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count as LiveBytes does, after dropping the casts of an autocast region that has ended."""
        self.functions.forget_casts()
        return super().__torch_dispatch__(func, types, args, kwargs)

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator on tensors without memory."""
        # Two operators need values, which meta tensors lack: reading a scalar (.item()), copying to the host.
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return _scalar(args[0])
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") == CPU and args[0].is_meta:
            return torch.zeros(args[0].shape, dtype=args[0].dtype)
        if func.namespace != NAMESPACE:
            return self._plain(func, args, kwargs)
        # Our own operators allocate no workspace on "meta", so it is computed and added here.
        release = self.add(SCORES, self._workspace(func, args))
        result = func(*args, **kwargs)
        self.see(result)
        release()
        return result

    def _plain(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator of torch, unless it ran with arguments of these shapes before."""
        key = self._repeated.key(func, args, kwargs)
        if key is not None and (known := self._repeated.result(key)) is not None:
            result, flops = known
        else:
            result = func(*args, **kwargs)
            formula = flop_registry.get(func.overloadpacket)
            flops = formula(*args, **kwargs, out_val=result) if formula else 0
            if key is not None:
                self._repeated.remember(key, args, result, flops)
        self.flops += flops
        return result

    def part(self) -> str:
        """The part that is being computed. Outside a region: SCORES in forward, ACTIVATIONS in backward."""
        if self._regions:
            return self._regions[-1]
        # The task id is -1 unless autograd runs a backward pass.
        return ACTIVATIONS if torch._C._current_graph_task_id() != -1 else SCORES

    def _workspace(self, func: Any, args: tuple[Any, ...]) -> int:
        if self.device == "cuda":
            return workspace_on_gpu(func._schema.name.split("::")[1], args)
        key = (func, *((value.shape, value.dtype) if isinstance(value, Tensor) else value for value in args))
        if key not in self._workspaces:
            self._workspaces[key] = workspace_on_cpu(func, args)
        return self._workspaces[key]


def _scalar(value: Tensor) -> bool | int | float:
    """A plausible value for a tensor without values: masks are not all ones, and a step is not step 0."""
    if value.dtype == torch.bool:
        return False
    return 0.0 if value.is_floating_point() else 1
