"""The few CUDA driver calls that load and launch kernels, through cuda-core and cuda-bindings."""

from collections.abc import Sequence
from functools import cache
from typing import Any


class Driver:
    """The CUDA driver of this machine. Before each call its device must be torch's current one."""

    def __init__(self) -> None:
        import cuda.core
        from cuda.bindings import driver

        self._core, self._driver = cuda.core, driver
        # cuda-core creates a class for the stream at every call: too slow for each launch.
        self._stream = cache(cuda.core.Stream.from_handle)

    def newest_cuda(self) -> int:
        """The major version of the newest CUDA that the driver supports."""
        return int(self._checked(self._driver.cuDriverGetVersion())) // 1000

    def load(self, cubin: bytes, entry: str, device: int, shared: int) -> tuple[Any, list[int]]:
        """Load the kernel `entry` on a device and allow it `shared` bytes of dynamic shared memory.

        Returns the kernel and the width of each of its parameters in bytes. Loading is forced here, since the
        driver would defer it to the first launch, which may be in a capture, where loading is forbidden.
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
        """Launch on the stream with this handle; torch's default stream, 0, is the legacy stream, 1."""
        self._ensure_context(device)
        config = self._core.LaunchConfig(grid=grid, block=block, shmem_size=shared)
        self._core.launch(self._stream(stream or 1), config, kernel, *arguments)

    def occupancy(self, kernel: Any, device: int, block: int, shared: int) -> int:
        """The number of blocks of a kernel that fit on a multiprocessor at once."""
        self._ensure_context(device)
        return int(kernel.occupancy.max_active_blocks_per_multiprocessor(block, shared))

    def _ensure_context(self, device: int) -> None:
        """Make the device's primary context, which torch uses, current on this thread if none is.

        The CUDA runtime does so at a thread's first call that needs it, but a thread of autograd may get here
        before any such call.
        """
        if not int(self._checked(self._driver.cuCtxGetCurrent())):
            self._core.Device(device).set_current()

    @staticmethod
    def _checked(result: tuple[Any, ...]) -> Any:
        """The value that a cuda-bindings call returned. Raises RuntimeError if it failed."""
        status, *values = result
        if int(status) != 0:
            raise RuntimeError(f"CUDA driver call failed: {status.name}")
        return values[0] if values else None
