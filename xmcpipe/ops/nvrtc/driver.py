"""The few calls of the CUDA driver that loading and launching take, through cuda-core and cuda-bindings."""

from collections.abc import Sequence
from functools import cache
from typing import Any


class Driver:
    """The driver of this machine. Every call wants its device to be torch's current one."""

    def __init__(self) -> None:
        import cuda.core
        from cuda.bindings import driver

        self._core, self._driver = cuda.core, driver
        # The class of a stream's holder is made anew at every call: too slow for each launch.
        self._stream = cache(cuda.core.Stream.from_handle)

    def newest_cuda(self) -> int:
        """The major version of the newest CUDA that the driver knows."""
        return int(self._checked(self._driver.cuDriverGetVersion())) // 1000

    def load(self, cubin: bytes, entry: str, device: int, shared: int) -> tuple[Any, list[int]]:
        """The kernel `entry` on a device, with `shared` bytes of dynamic shared memory allowed; and the width
        of each of its parameters.

        The driver would otherwise put off loading to the first launch, and a capture forbids it.
        """
        driver = self._driver
        self._ensure_context(device)
        kernel = self._core.ObjectCode.from_cubin(cubin, name=entry).get_kernel(entry)
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._checked(driver.cuKernelSetAttribute(attribute, shared, kernel.handle, device))
        self._checked(driver.cuFuncLoad(self._checked(driver.cuKernelGetFunction(kernel.handle))))
        return kernel, [size for _, size in kernel.arguments_info]

    def launch(
        self,
        kernel: Any,
        device: int,
        stream: int,
        grid: tuple[int, ...],
        block: int,
        shared: int,
        arguments: Sequence[Any],
    ) -> None:
        """Put a launch on a stream, given by its handle: torch's default stream, 0, has the proper name 1."""
        self._ensure_context(device)
        config = self._core.LaunchConfig(grid=grid, block=block, shmem_size=shared)
        self._core.launch(self._stream(stream or 1), config, kernel, *arguments)

    def occupancy(self, kernel: Any, device: int, block: int, shared: int) -> int:
        """The blocks of a kernel that fit a multiprocessor at once."""
        self._ensure_context(device)
        return int(kernel.occupancy.max_active_blocks_per_multiprocessor(block, shared))

    def _ensure_context(self, device: int) -> None:
        """Make torch's context, the primary one, current on this thread where none is.

        The runtime does so at a thread's first call that needs it, and a thread of autograd's may come here
        before any.
        """
        if not int(self._checked(self._driver.cuCtxGetCurrent())):
            self._core.Device(device).set_current()

    @staticmethod
    def _checked(result: tuple[Any, ...]) -> Any:
        """The value that a call of cuda-bindings returned. Raises RuntimeError where it failed."""
        status, *values = result
        if int(status) != 0:
            raise RuntimeError(f"CUDA says {status.name}")
        return values[0] if values else None
