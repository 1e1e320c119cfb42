"""Builds, checks and times everything that needs a GPU: `make gpu-check`, or this file as a plain script.

    python3 tests/bench/gpu_check.py --out FOLDER --seconds 500

It needs no installation: torch, transformers, numba, pyarrow, typer, rich, pytest and the `gpu` extra's
cuda-bindings are enough. The parts (tests/bench/gpu/jobs.py) run in the order of their value, each as a
process with a time limit, until --seconds have passed. `--parts NAME,NAME` runs only these: a later call can
do what an earlier one did not get to.

Writes gpu-NAME.json and gpu-NAME.md into --out (results/gpu/), where NAME is that of the GPU, with the output
of all parts in gpu-check.log and the results of `xmcpipe bench` in bench/. The report is rewritten after
every result, so that a run which is killed at any moment leaves what it had. Without a GPU the same parts run
on the CPU with small shapes, which shows that the script works; the files are then called cpu-check.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # as a plain script, only this file's folder is there

from tests.bench.gpu.jobs import PATIENCE, Job, jobs  # noqa: E402
from tests.bench.gpu.machine import machine  # noqa: E402
from tests.bench.gpu.process import TIMED_OUT, follow  # noqa: E402
from tests.bench.gpu.report import RUNNING, STOPPED, Part, Report  # noqa: E402

LEAST_SECONDS = 5.0  # a part that has less time left is not begun
TAIL = 1500  # characters of a failed part's output on the terminal


class StopError(Exception):
    """A signal asked the check to end."""


class Check:
    """Runs jobs until `seconds` have passed; `report` has a part for each of them."""

    def __init__(self, report: Report, seconds: float, patience: float, log: TextIO) -> None:
        self.report, self.patience, self.log = report, patience, log
        self.ends = time.monotonic() + seconds

    def run(self, job: Job, part: Part) -> None:
        """Run one part to its end, or to its time limit."""
        left = min(self.patience * job.expected, self.ends - time.monotonic())
        part.why = job.skipped or ("no time left" if left < LEAST_SECONDS else "")
        if part.why:
            return
        part.state, begin, written = RUNNING, time.monotonic(), -1
        print(f"# {part.name}: {part.command}", flush=True)
        self._say(f"# {part.name}: {part.command}")

        def each_line(line: str) -> None:
            part.take(line)
            self._say(line)

        def tick() -> None:
            nonlocal written
            part.seconds, said = time.monotonic() - begin, len(part.rows) + len(part.lines)
            if said != written:
                written = said
                self.report.write()

        try:
            status = follow(job.command, ROOT, _environment(job), left, each_line, tick)
        except BaseException:
            part.state, part.seconds = STOPPED, time.monotonic() - begin
            raise
        part.status, part.seconds = status, time.monotonic() - begin
        if status == TIMED_OUT:
            part.why = f"stopped after {left:.0f} s"
        print(f"  {part.verdict}, {part.seconds:.0f} s", flush=True)
        if status:
            print("  " + "\n".join(part.lines)[-TAIL:].replace("\n", "\n  "), flush=True)

    def _say(self, line: str) -> None:
        self.log.write(line + "\n")
        self.log.flush()


def _environment(job: Job) -> dict[str, str]:
    here = os.environ
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONUNBUFFERED": "1"}
    path = os.pathsep.join([*filter(None, [here.get("PYTHONPATH")]), str(ROOT)])
    return {**here, **quiet, **job.environment, "PYTHONPATH": path}


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise StopError(f"stopped by {signal.Signals(number).name}")


def _chosen(every: list[Job], names: str | None) -> list[Job]:
    """The jobs with these names, in order; all without names. Exits for a name that no job has."""
    if names is None:
        return every
    wanted, known = {name.strip() for name in names.split(",")}, [job.name for job in every]
    if unknown := wanted - set(known):
        sys.exit(f"expected --parts from {', '.join(known)}; got {', '.join(sorted(unknown))}")
    return [job for job in every if job.name in wanted]


def main() -> int:
    """Run the parts; the exit status is 1 if one failed, or a signal stopped them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu")
    parser.add_argument("--seconds", type=float, default=570.0)
    parser.add_argument("--parts", metavar="NAME,NAME", help="run only these")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begin, facts = time.monotonic(), machine()
    for key, value in facts.items():  # at once: if nothing else works, this is what was learnt
        print(f"{key}: {value}", flush=True)
    architecture = f"sm_{facts['capability'].replace('.', '')}" if "gpu" in facts else None
    bench = options.out / "bench"
    chosen = _chosen(jobs(architecture, bench.resolve()), options.parts)
    parts = [Part(job.name, _shown(job), job.expected, job.table) for job in chosen]
    report = Report(options.out, facts, parts, bench / "bench.json")
    report.write()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    patience = PATIENCE["gpu" if architecture else "cpu"]
    stopped = False
    with (options.out / "gpu-check.log").open("w", encoding="utf-8") as log:
        check = Check(report, options.seconds - (time.monotonic() - begin), patience, log)
        try:
            for job, part in zip(chosen, parts, strict=True):
                check.run(job, part)
                report.write()
        except StopError as error:
            stopped = True
            print(error, flush=True)
            report.write()
    print("\n" + report.page.read_text(encoding="utf-8"))
    return int(stopped or any(part.status for part in parts))


def _shown(job: Job) -> str:
    """The command without paths of this machine."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in job.command]
    return " ".join("python" if word == Path(sys.executable).name else word for word in words)


if __name__ == "__main__":
    sys.exit(main())
