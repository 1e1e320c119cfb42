"""The few CUDA driver calls that load and launch kernels, through cuda-bindings."""

from functools import cache
from importlib.metadata import version
from typing import Any

NEEDED = "12.4"  # version of cuda-bindings with all calls below; the last ones to come were these:
NEWEST_CALLS = ("cuFuncLoad", "cuFuncGetParamInfo")


def missing_reason() -> str | None:
    """Why the calls below can't be made here, in one line; None if they can.

    Raises ImportError without cuda-bindings.
    """
    from cuda.bindings import driver

    if all(hasattr(driver, name) for name in NEWEST_CALLS):
        return None
    return f"cuda-bindings {version('cuda-bindings')} is too old, {NEEDED} or newer is needed"


class Driver:
    """The CUDA driver of this machine. Before each call its device must be torch's current one."""

    def __init__(self) -> None:
        from cuda.bindings import driver

        self._driver = driver
        self.stream = cache(driver.CUstream)  # of a handle; an object, since one made anew costs time

    def newest_cuda(self) -> int:
        """The major version of the newest CUDA that the driver supports."""
        return int(self._checked(self._driver.cuDriverGetVersion())) // 1000

    def load(self, cubin: bytes, entry: str, device: int, shared: int) -> tuple[Any, list[int]]:
        """Load the kernel `entry` on a device and allow it `shared` bytes of dynamic shared memory.

        Returns the kernel and the width of each of its parameters in bytes. Loading is forced here, since the
        driver would defer it to the first launch, which may be in a capture, where loading is forbidden.
        """
        driver = self._driver
        self.enter(device)
        module = self._checked(driver.cuModuleLoadData(cubin))
        kernel = self._checked(driver.cuModuleGetFunction(module, entry.encode()))
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._checked(driver.cuFuncSetAttribute(kernel, attribute, shared))
        self._checked(driver.cuFuncLoad(kernel))
        return kernel, self._widths(kernel)

    def launch(
        self, kernel: Any, stream: Any, grid: tuple[int, int, int], block: int, shared: int, addresses: int
    ) -> None:
        """Start a kernel on a stream, for which `enter` was called on this thread.

        `addresses` is that of an array of the addresses of all arguments, which are read before this returns.
        """
        result = self._driver.cuLaunchKernel(kernel, *grid, block, 1, 1, shared, stream, addresses, 0)
        if result[0]:
            self._checked(result)

    def occupancy(self, kernel: Any, device: int, block: int, shared: int) -> int:
        """The number of blocks of a kernel that fit on a multiprocessor at once."""
        self.enter(device)
        blocks = self._driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(kernel, block, shared)
        return int(self._checked(blocks))

    def active_clusters(self, kernel: Any, device: int, cluster: int, block: int, shared: int) -> int:
        """The number of clusters of `cluster` blocks that run on a device at once."""
        driver = self._driver
        self.enter(device)
        attribute, config = driver.CUlaunchAttribute(), driver.CUlaunchConfig()
        attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
        size = attribute.value.clusterDim
        size.x, size.y, size.z = cluster, 1, 1
        config.gridDimX, config.gridDimY, config.gridDimZ = cluster, 1, 1
        config.blockDimX, config.blockDimY, config.blockDimZ = block, 1, 1
        config.sharedMemBytes = shared
        config.attrs, config.numAttrs = [attribute], 1
        return int(self._checked(driver.cuOccupancyMaxActiveClusters(kernel, config)))

    def enter(self, device: int) -> None:
        """Make the device's primary context, which torch uses, current on this thread if none is.

        The CUDA runtime does so at a thread's first call that needs it, but a thread of autograd may get here
        before any such call.
        """
        driver = self._driver
        if not int(self._checked(driver.cuCtxGetCurrent())):
            number = self._checked(driver.cuDeviceGet(device))
            self._checked(driver.cuCtxSetCurrent(self._checked(driver.cuDevicePrimaryCtxRetain(number))))

    def _widths(self, kernel: Any) -> list[int]:
        """The width of each parameter in bytes; the driver refuses the number after the last one."""
        widths: list[int] = []
        while True:
            status, _, width = self._driver.cuFuncGetParamInfo(kernel, len(widths))
            if status == self._driver.CUresult.CUDA_ERROR_INVALID_VALUE:
                return widths
            self._checked((status,))
            widths.append(int(width))

    @staticmethod
    def _checked(result: tuple[Any, ...]) -> Any:
        """The value that a cuda-bindings call returned. Raises RuntimeError if it failed."""
        status, *values = result
        if int(status) != 0:
            raise RuntimeError(f"CUDA driver call failed: {status.name}")
        return values[0] if values else None
