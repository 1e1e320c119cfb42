"""Bytes of live tensors, counted storage by storage as operators make them and Python lets them go.

A mode of the dispatcher sees every operator with its tensors (the idea is that of
torch.distributed._tools.mem_tracker). A storage is counted from the first tensor that shows it until it is
freed, which a weak reference tells; views share one. Every step of that history is kept, so that the peak can
be taken apart afterwards, when it is known which storage was a gradient and which a moment.

Works on real tensors, and on those of the device "meta", which have sizes and no memory.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

NAMESPACE = "xmcpipe"  # of our own operators, which are looked into


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered; it may be entered again and again, and goes on counting.

    Storages are rounded up to `block` bytes. `live` and `peak` are bytes. A storage belongs to the part of
    the innermost region in which it was made, unless `name` says otherwise.
    """

    def __init__(self, block: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.block = block
        self.live = self.peak = 0
        self._regions: list[str] = []
        self._parts: list[str] = []  # of each storage ever seen, in the order of seeing
        self._bytes: list[int] = []
        self._history: list[int] = []  # n: the n-th storage (from 1) came; -n: it went
        self._alive: dict[int, tuple[int, Any]] = {}  # address of a storage: its number and a weak reference

    def hold(self, tensors: Iterable[Tensor], part: str) -> None:
        """Count tensors that were there before, or give another part to those that are counted."""
        for tensor in tensors:
            self._see(tensor)
            self.name(tensor, part)

    def name(self, tensor: Tensor, part: str) -> None:
        """The tensor's storage, for all of its life, belongs to `part`."""
        found = self._alive.get(tensor.untyped_storage()._cdata)
        if found is not None:
            self._parts[found[0] - 1] = part

    def begin(self, part: str) -> None:
        """What is made from here on, until `end`, belongs to `part`; regions nest."""
        self._regions.append(part)

    def end(self) -> None:
        """The innermost region ends."""
        self._regions.pop()

    def add(self, part: str, size: int) -> Callable[[], None]:
        """Count `size` bytes that no tensor shows, until the returned function is called."""
        number = self._came(size, part)
        return lambda: self._went(number)

    def at_peak(self) -> dict[str, int]:
        """Bytes of each part when all together were the most; they add up to `peak`."""
        live: Counter[str] = Counter()
        best: Counter[str] = Counter()
        total = most = 0
        for part, size in self._changes():
            live[part] += size
            total += size
            if total > most:
                most, best = total, live.copy()
        return {part: size for part, size in best.items() if size}

    def now(self) -> dict[str, int]:
        """Bytes of each part that live now; they add up to `live`."""
        live: Counter[str] = Counter()
        for part, size in self._changes():
            live[part] += size
        return {part: size for part, size in live.items() if size}

    def most(self) -> dict[str, int]:
        """Bytes of each part when that part was the largest."""
        live: Counter[str] = Counter()
        most: Counter[str] = Counter()
        for part, size in self._changes():
            live[part] += size
            most[part] = max(most[part], live[part])
        return dict(most)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for value in args:
            self.see(value)
        result = self.call(func, args, kwargs or {})
        self.see(result)
        return result

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator; what our own ones do inside on a CPU is counted too."""
        if func.namespace == NAMESPACE and _device(args) == "cpu":
            with self:
                return func.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.CPU), *args, **kwargs)
        return func(*args, **kwargs)

    def part(self) -> str:
        """The part of a storage that is made now."""
        return self._regions[-1] if self._regions else "other"

    def see(self, value: Any) -> None:
        """Count the tensors of an argument or a result that are not counted yet."""
        if isinstance(value, Tensor):
            self._see(value)
        elif isinstance(value, (list, tuple)):
            for one in value:
                self.see(one)

    def _see(self, tensor: Tensor) -> None:
        if not torch._C._has_storage(tensor):
            return
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        found = self._alive.get(key)
        if found is not None:
            if self._bytes[found[0] - 1] == self._rounded(size):
                return
            self._went(found[0])  # resized
        number = self._came(size, self.part() if found is None else self._parts[found[0] - 1])
        # The storage's Python object lives as long as the storage, whoever holds it.
        self._alive[key] = (number, weakref.ref(storage, lambda _: self._freed(key)))

    def _freed(self, key: int) -> None:
        self._went(self._alive.pop(key)[0])

    def _came(self, size: int, part: str) -> int:
        self._parts.append(part)
        self._bytes.append(self._rounded(size))
        self._history.append(len(self._parts))
        self.live += self._bytes[-1]
        self.peak = max(self.peak, self.live)
        return len(self._parts)

    def _went(self, number: int) -> None:
        self._history.append(-number)
        self.live -= self._bytes[number - 1]

    def _rounded(self, size: int) -> int:
        return -(-size // self.block) * self.block

    def _changes(self) -> Iterator[tuple[str, int]]:
        for event in self._history:
            number = abs(event) - 1
            yield self._parts[number], self._bytes[number] if event > 0 else -self._bytes[number]


def _device(values: Iterable[Any]) -> str:
    """The type of the device of the first tensor."""
    return next((value.device.type for value in values if isinstance(value, Tensor)), "")
