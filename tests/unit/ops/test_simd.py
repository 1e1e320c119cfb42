"""The cache of compiled kernels: an edit of any kernel's file makes all of them anew."""

import hashlib
from pathlib import Path

import pytest
from numba import config

from xmcpipe.ops.cpu import simd, step


def test_the_cache_is_named_by_the_text_of_all_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba itself would keep a function whose callee in another file has changed."""
    for name, text in (("simd.py", "one"), ("ffi.py", "two")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(simd, "__file__", str(tmp_path / "simd.py"))
    folders = []
    for text in ("two", "three"):
        (tmp_path / "ffi.py").write_text(text)
        simd._cache_folder.cache_clear()
        folders.append(simd._cache_folder())
    simd._cache_folder.cache_clear()
    assert len({folder.name for folder in folders}) == 2
    assert {folder.parent for folder in folders} == {tmp_path / "__pycache__"}


def test_kernels_use_that_folder_and_other_code_does_not() -> None:
    texts = [path.read_bytes() for path in sorted(Path(simd.__file__).parent.glob("*.py"))]
    name = hashlib.sha256(b"".join(texts)).hexdigest()[:16]
    cache = step.step_slice._cache._cache_path  # type: ignore[attr-defined]
    assert f"/{name}/" in Path(cache).as_posix()
    assert name not in str(config.CACHE_DIR)
