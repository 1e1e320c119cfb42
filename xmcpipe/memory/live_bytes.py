"""Bytes of live tensors, counted per storage from the operator that allocates it until Python frees it.

A mode of torch's dispatcher sees every operator with its tensors, as in torch.distributed._tools.mem_tracker.
A storage is counted from the first tensor that uses it until it is freed, which a weak reference reports;
views share a storage. The whole history is recorded, so that the peak can be divided into parts later, when
it is known which storage was a gradient and which was a moment.

It works on real tensors, and on tensors of the device "meta", which have sizes but no memory.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

NAMESPACE = "xmcpipe"  # of our own operators; what they allocate inside is counted too


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts bytes while it is entered; entered again, it continues to count.

    Storages are rounded up to `block` bytes. `live` and `peak` are bytes. A storage belongs to the part of
    the innermost region in which it was allocated, unless `assign` gives it another part.
    """

    def __init__(self, block: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.block = block
        self.live = self.peak = 0
        self._regions: list[str] = []
        self._parts: list[str] = []  # of each storage that was ever counted, in the order of their numbers
        self._bytes: list[int] = []
        self._history: list[int] = []  # n: storage number n (from 1) was allocated; -n: it was freed
        self._alive: dict[int, tuple[int, Any]] = {}  # address of a storage: its number and a weak reference

    def count(self, tensors: Iterable[Tensor], part: str) -> None:
        """Count tensors that existed before, or assign tensors that are counted already to `part`."""
        for tensor in tensors:
            self._see(tensor)
            self.assign(tensor, part)

    def assign(self, tensor: Tensor, part: str) -> None:
        """Assign the tensor's storage to `part`, for all of its lifetime."""
        entry = self._alive.get(tensor.untyped_storage()._cdata)
        if entry is not None:
            self._parts[entry[0] - 1] = part

    def begin(self, part: str) -> None:
        """Begin a region: what is allocated until `end` belongs to `part`. Regions nest."""
        self._regions.append(part)

    def end(self) -> None:
        """End the innermost region."""
        self._regions.pop()

    def add(self, part: str, size: int) -> Callable[[], None]:
        """Count `size` bytes that belong to no tensor, until the returned function is called."""
        number = self._allocated(size, part)
        return lambda: self._released(number)

    def parts_at_peak(self) -> dict[str, int]:
        """Bytes of each part at the moment of the peak; their sum is `peak`."""
        live: Counter[str] = Counter()
        at_peak: Counter[str] = Counter()
        total = peak = 0
        for part, size in self._changes():
            live[part] += size
            total += size
            if total > peak:
                peak, at_peak = total, live.copy()
        return {part: size for part, size in at_peak.items() if size}

    def live_parts(self) -> dict[str, int]:
        """Bytes of each part that are live at present; their sum is `live`."""
        live: Counter[str] = Counter()
        for part, size in self._changes():
            live[part] += size
        return {part: size for part, size in live.items() if size}

    def part_peaks(self) -> dict[str, int]:
        """The peak of each part alone, in bytes; the peaks may be at different times."""
        live: Counter[str] = Counter()
        peaks: Counter[str] = Counter()
        for part, size in self._changes():
            live[part] += size
            peaks[part] = max(peaks[part], live[part])
        return dict(peaks)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for value in args:
            self.see(value)
        result = self.call(func, args, kwargs or {})
        self.see(result)
        return result

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator; on a CPU, allocations inside our own operators are counted too."""
        if func.namespace == NAMESPACE and _device(args) == "cpu":
            # Dispatch is off inside a mode; entering it again makes the inner operators visible.
            with self:
                return func.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.CPU), *args, **kwargs)
        return func(*args, **kwargs)

    def part(self) -> str:
        """The part of a storage that is allocated at this point."""
        return self._regions[-1] if self._regions else "other"

    def see(self, value: Any) -> None:
        """Count the tensors of an argument or a result that are not counted yet."""
        if isinstance(value, Tensor):
            self._see(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self.see(item)

    def _see(self, tensor: Tensor) -> None:
        if not torch._C._has_storage(tensor):
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        entry = self._alive.get(key)
        if entry is not None:
            if self._bytes[entry[0] - 1] == self._rounded(size):
                return
            # The storage was resized: count it as freed and allocated again, in the same part.
            self._released(entry[0])
        number = self._allocated(size, self.part() if entry is None else self._parts[entry[0] - 1])
        # Torch keeps the Python object of a storage for as long as the storage lives, so the weak reference
        # reports the storage's end, before its address can be reused.
        self._alive[key] = (number, weakref.ref(storage, lambda _: self._freed(key)))

    def _freed(self, key: int) -> None:
        self._released(self._alive.pop(key)[0])

    def _allocated(self, size: int, part: str) -> int:
        self._parts.append(part)
        self._bytes.append(self._rounded(size))
        self._history.append(len(self._parts))
        self.live += self._bytes[-1]
        self.peak = max(self.peak, self.live)
        return len(self._parts)

    def _released(self, number: int) -> None:
        self._history.append(-number)
        self.live -= self._bytes[number - 1]

    def _rounded(self, size: int) -> int:
        return -(-size // self.block) * self.block

    def _changes(self) -> Iterator[tuple[str, int]]:
        """(part, bytes) of each allocation in order; bytes are negative when a storage is freed."""
        for event in self._history:
            number = abs(event) - 1
            yield self._parts[number], self._bytes[number] if event > 0 else -self._bytes[number]


def _device(values: Iterable[Any]) -> str:
    """The type of the device of the first tensor."""
    return next((value.device.type for value in values if isinstance(value, Tensor)), "")
