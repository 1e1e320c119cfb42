"""The command `serve`: it answers what it accepted before it stops, and starts or says why not."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.served import TIMEOUT, Answer, predict
from xmcpipe.cli.app import app
from xmcpipe.signals import SIGNALS

# The command, with predictions of the text "slow" that wait for a file.
PROGRAM = """
import signal, sys, time
from pathlib import Path
from xmcpipe.api.model import Model
from xmcpipe.cli.app import main
from xmcpipe.signals import SIGNALS
for number in SIGNALS:  # a shell, or nohup, may have had some of them ignored
    signal.signal(number, signal.SIG_DFL)
predict = Model.predict
def slow(self, texts, **named):
    if "slow" in texts:
        Path("begun").touch()
        while not Path("go").exists():
            time.sleep(0.01)
    return predict(self, texts, **named)
Model.predict = slow
sys.argv = ["xmcpipe", "serve", *sys.argv[1:]]
main()
"""


def wait_for(done: Path, asking: threading.Thread) -> None:
    while not done.exists():
        assert asking.is_alive(), "the client got no answer"
        time.sleep(0.01)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_is_graceful(served_folder: Path, tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(served_folder), "--port", "0", "--device", "cpu"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.fullmatch(
            r"model \(30 labels\) answers at http://127.0.0.1:(\d+); Ctrl\+C stops it\n", line
        )
        assert found, line
        port, answers = int(found[1]), list[Answer]()
        asking = threading.Thread(target=lambda: answers.append(predict(port, text="slow", k=2)))
        asking.start()
        wait_for(tmp_path / "begun", asking)
        process.send_signal(number)
        deadline = time.monotonic() + TIMEOUT
        while accepts(port):  # new clients are refused, the old one still waits
            if time.monotonic() > deadline:
                process.kill()  # else the end of the block would wait for it
                pytest.fail("the service still accepts clients")
            time.sleep(0.01)
        assert process.poll() is None
        (tmp_path / "go").touch()
        asking.join()
        assert answers[0].status == 200
        assert len(answers[0].value["labels"]) == 2
        assert process.stdout.read() == "stopped\n"
        assert process.wait() == 0


def test_a_port_that_is_taken_is_one_line(served_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", str(served_folder), "--port", str(port)])
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: port {port} of 127.0.0.1 can't be opened: address already in use "
        "(choose another --port or --host)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["no-such-folder/model"], "there is no folder no-such-folder/model"),
        (
            ["MODEL", "--host", "no such host"],
            "expected --host, an address of this machine, got no such host",
        ),
        (["MODEL", "--queue", "5"], "expected a queue of at least the 256 texts of one request, got 5"),
        (["MODEL", "--device", "abacus"], "abacus"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(
    served_folder: Path, arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = [str(served_folder) if each == "MODEL" else each for each in arguments]
    result = CliRunner().invoke(app, ["serve", "--port", "0", *given])
    assert result.exit_code == 2
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
