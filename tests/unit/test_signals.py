"""When a signal takes effect: at once, after a step, or after renames that belong together."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from xmcpipe import signals
from xmcpipe.signals import SIGNALS, Interrupted, blocked, deferred, held, requested


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signals.install()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signals._State.first = signals._State.waiting = None


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_raised(number: int) -> None:
    with pytest.raises(Interrupted) as error:
        signal.raise_signal(number)
    assert (error.value.number, error.value.kept) == (number, "")
    assert requested() == number


def test_senders_repeat_themselves_but_a_user_means_it() -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGHUP)
    with pytest.raises(Interrupted, match="2"):
        signal.raise_signal(signal.SIGINT)


def test_deferred_work_is_asked_to_end() -> None:
    with deferred():
        assert requested() is None
        signal.raise_signal(signal.SIGINT)
        assert requested() == signal.SIGINT
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_a_held_signal_takes_effect_at_the_end() -> None:
    done = []

    def work() -> None:
        with held():
            with held():
                signal.raise_signal(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("after")

    with pytest.raises(Interrupted):
        work()
    assert done == ["inner", "outer"]


def test_an_error_comes_before_a_held_signal() -> None:
    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        work()


def test_blocked_signals_reach_this_thread_at_the_end_and_no_child() -> None:
    program = "import signal; print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))"

    def start() -> None:
        with blocked():
            os.kill(os.getpid(), signal.SIGTERM)
            found.append(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True))

    found: list[subprocess.CompletedProcess[str]] = []
    with pytest.raises(Interrupted):
        start()
    assert found[0].stdout.strip() == str(sorted(map(int, SIGNALS)))


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    signals.install()
    signal.raise_signal(signal.SIGHUP)
    assert requested() is None


def test_a_closed_terminal_swallows_what_is_printed() -> None:
    """Its lines would be errors: the training would die of them instead of writing its checkpoint."""
    program = (
        "import os, signal\n"
        "from xmcpipe import signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "signals.install()\n"
        "with signals.deferred():\n"
        "    os.write(2, b'ready')\n"
        "    while signals.requested() is None:\n"
        "        signal.pause()\n"
        "    print('a line', flush=True)\n"
        "os._exit(128 + signals.requested())\n"
    )
    master, slave = os.openpty()
    process = subprocess.Popen([sys.executable, "-c", program], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    assert os.read(master, 100) == b"ready"
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 129
