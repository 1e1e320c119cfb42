"""`tokenize`: workers that end, and what is refused with a clear error."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.stages.tokenize.world import POSITIONS, documents, run, write_raw
from xmcpipe.config import from_table
from xmcpipe.data.shards import encoding_pool
from xmcpipe.errors import XmcpipeError
from xmcpipe.stages.tokenize import TokenizeConfig


def test_a_worker_ends_with_its_parent() -> None:
    script = (
        "import time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from xmcpipe.data.shards.encoding_pool import _start_worker\n"
        "if __name__ == '__main__':\n"
        "    context = get_context('spawn')\n"
        "    ended, alive = context.Pipe(duplex=False)\n"
        "    pool = ProcessPoolExecutor(1, context, _start_worker, (1, ended))\n"
        "    pool.submit(time.sleep, 0.01).result()\n"
        "    busy = pool.submit(time.sleep, 100)\n"
        "    print(*pool._processes, flush=True)\n"
        "    busy.result()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.kill()
    parent.wait()
    assert ends(worker, seconds=10)


def ends(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":  # ended, but not yet reaped by the process that adopted it
            return True
        time.sleep(0.05)
    return False


def test_a_killed_worker_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding_pool, "encode_shard", signal.raise_signal)
    with pytest.raises(XmcpipeError, match="killed") as error:
        encoding_pool.encode_shards([signal.SIGKILL] * 2, 2, lambda number, lengths: None)  # type: ignore[list-item]
    assert "num_workers" in error.value.hint


def test_an_error_of_a_worker_arrives_unchanged(tmp_path: Path, encoder: Path) -> None:
    raw = write_raw(tmp_path / "raw", [("w1", [0])] * 9 + [("w2", [4])], [None] * 3)
    config = TokenizeConfig(str(encoder), rows_per_shard=5, max_length=8, num_workers=2)
    with pytest.raises(XmcpipeError, match="expected label ids from 0 to 2, got 4") as error:
        run(config, raw, tmp_path / "out")
    assert error.value.hint == "run the download or import again"


def test_a_slow_tokenizer_is_refused(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "xmcpipe.modeling.encoder.load_tokenizer", lambda name: SimpleNamespace(is_fast=False)
    )
    with pytest.raises(XmcpipeError, match="expected a fast tokenizer, got the slow"):
        run(
            TokenizeConfig(str(encoder)),
            write_raw(tmp_path / "raw", documents(3), [None] * 4),
            tmp_path / "out",
        )


@pytest.mark.parametrize(
    ("max_length", "message"),
    [
        (2, r"expected tokenize.max_length > 2 \(the special tokens\), got 2"),
        (POSITIONS + 1, "expected tokenize.max_length <= 32"),
    ],
)
def test_a_length_that_cannot_be(tmp_path: Path, encoder: Path, max_length: int, message: str) -> None:
    raw = write_raw(tmp_path / "raw", documents(3), [None] * 4)
    with pytest.raises(XmcpipeError, match=message):
        run(TokenizeConfig(str(encoder), max_length=max_length), raw, tmp_path / "out")


def test_a_missing_column_and_an_unreadable_file(tmp_path: Path, encoder: Path) -> None:
    raw = write_raw(tmp_path / "raw", documents(3), [None] * 4)
    pq.write_table(pa.table({"id": ["a"], "labels": [[1]]}), raw / "test.parquet")
    with pytest.raises(XmcpipeError, match=r"test.parquet: expected a column 'text'"):
        run(TokenizeConfig(str(encoder), max_length=8), raw, tmp_path / "out")
    (raw / "labels.parquet").write_bytes(b"nonsense")
    with pytest.raises(XmcpipeError, match=r"labels.parquet can't be read as Parquet"):
        run(TokenizeConfig(str(encoder), max_length=8), raw, tmp_path / "out2")


@pytest.mark.parametrize("table", [{"max_length": 0}, {"rows_per_shard": 0}, {"num_workers": -1}])
def test_a_wrong_number_in_the_table(table: dict[str, int]) -> None:
    with pytest.raises(XmcpipeError, match=f"tokenize: expected {next(iter(table))} >= "):
        from_table(TokenizeConfig, {"encoder": "e", **table}, "tokenize")
