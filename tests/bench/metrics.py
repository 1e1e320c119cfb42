"""Times metrics at the size of Amazon-3M, their bootstrap, and napkinXC on the same generated data.

    python -m tests.bench.metrics [--documents 742507] [--labels 2812281] [--napkin-documents 100000]

`all` is `xmcpipe.metrics.evaluate` with training labels (every metric at 1, 3, 5, and the bins by frequency),
in its own process that has read the matrices, so that its peak memory is that of the metrics and the data.
`parquet` and `npz` are `xmcpipe eval` on files of the same data, with reading and imports: label ids and
document ids as integers, and float32 matrices, each in its own process. `bootstrap` computes the intervals of
1,000 rounds. `napkinxc` computes P, R, nDCG, PSP, PSR, PSnDCG and coverage on the first documents, as the
lists that it is fastest on; the figures of both libraries are compared before a time is reported. Prints
JSON, with wall time and CPU time (other work on the machine makes only the first longer).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

K = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=742_507)
    parser.add_argument("--labels", type=int, default=2_812_281)
    parser.add_argument("--train-documents", type=int, default=1_717_899)
    parser.add_argument("--labels-per-document", type=int, default=36)
    parser.add_argument("--bootstrap-documents", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--napkin-documents", type=int, default=100_000)
    parser.add_argument("--in-folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--what", default="all", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_folder:
        folder, what = options.in_folder, options.what
        print(json.dumps(evaluate_matrices(folder) if what == "all" else evaluate_kind(folder, what)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options)
        results: dict[str, Any] = {"import": import_seconds()}
        for what in ("all", "parquet", "npz"):
            command = [sys.executable, __file__, "--in-folder", name, "--what", what]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[what] = json.loads(done.stdout)
            assert abs(results[what]["PSP@5"] - results["all"]["PSP@5"]) < 1e-9, what
        results["bootstrap"] = bootstrapped(folder, options.bootstrap_documents, options.rounds)
        results["napkinxc"] = compare_napkinxc(folder, options.napkin_documents)
    print(json.dumps(results, indent=2))


def write(folder: Path, options: argparse.Namespace) -> None:
    """Write skewed truth and training labels, and rankings in which one label in five is true."""
    random = np.random.default_rng(0)
    for name, documents in (("truth", options.documents), ("train", options.train_documents)):
        sizes = random.integers(1, 2 * options.labels_per_document, documents)
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        labels = np.empty(int(indptr[-1]), np.int32)
        for first in range(0, len(labels), 1 << 22):
            chunk = labels[first : first + (1 << 22)]
            chunk[:] = options.labels * random.random(len(chunk)) ** 3
        np.save(folder / f"{name}.indptr.npy", indptr)
        np.save(folder / f"{name}.labels.npy", labels)
        if name == "truth":
            step = (options.labels - 1) // K
            jumps = random.integers(1, step, (documents, K)) + step * np.arange(K)
            jumps[:, 0] = 0
            true = labels[indptr[:-1]].astype(np.int64)[:, None]
            top = (true + jumps) % options.labels
            np.save(folder / "top.npy", top[:, [1, 0, 2, 3, 4]].astype(np.int32))
    (folder / "shape.json").write_text(json.dumps({"labels": options.labels}))
    write_files(folder)


def write_files(folder: Path) -> None:
    """Write the same data as users store it: predictions, truth and train as Parquet and as npz."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from scipy import sparse

    top = np.load(folder / "top.npy")
    scores = np.tile(np.arange(K, 0, -1, dtype=np.float32), len(top))
    for name in ("predictions", "truth", "train"):
        if name == "predictions":
            indptr, labels, values = np.arange(0, top.size + 1, K), top.ravel(), scores
        else:
            indptr, labels = np.load(folder / f"{name}.indptr.npy"), np.load(folder / f"{name}.labels.npy")
            values = np.ones(len(labels), np.float32)
        columns = {"id": pa.array(np.arange(len(indptr) - 1)), "labels": lists(indptr, labels)}
        if name == "predictions":
            columns["scores"] = lists(indptr, values)
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", row_group_size=1 << 16)
        shape = (len(indptr) - 1, num_labels(folder))
        matrix = sparse.csr_matrix((values, labels, indptr), shape=shape)
        sparse.save_npz(folder / f"{name}.npz", matrix, compressed=False)


def lists(indptr: Any, values: Any) -> Any:
    import pyarrow as pa

    return pa.ListArray.from_arrays(pa.array(indptr.astype(np.int32)), pa.array(values))


def matrix(folder: Path, name: str) -> Any:
    from scipy import sparse

    labels, indptr = np.load(folder / f"{name}.labels.npy"), np.load(folder / f"{name}.indptr.npy")
    shape = (len(indptr) - 1, num_labels(folder))
    return sparse.csr_matrix((np.ones(len(labels), np.int8), labels, indptr), shape=shape)


def num_labels(folder: Path) -> int:
    return int(json.loads((folder / "shape.json").read_text())["labels"])


class Clock:
    """Wall time, and CPU time of this process, which other work on the machine hardly changes."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}


def peak() -> int:
    """Peak memory in bytes of this program alone; `ru_maxrss` would start with that of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def import_seconds() -> dict[str, float]:
    """Time of `import xmcpipe.metrics`, with NumPy's own import: the fastest of five processes."""
    program = (
        "import time; w, c = time.perf_counter(), time.process_time(); import xmcpipe.metrics; "
        "print(time.perf_counter() - w, time.process_time() - c)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(5)
    ]
    walls, cpus = zip(*(map(float, run.stdout.split()) for run in runs), strict=True)
    return {"seconds": round(min(walls), 3), "cpu_seconds": round(min(cpus), 3)}


def evaluate_matrices(folder: Path) -> dict[str, Any]:
    """Seconds and bytes of everything except the bootstrap."""
    from xmcpipe.metrics import evaluate

    top, truth, train = np.load(folder / "top.npy"), matrix(folder, "truth"), matrix(folder, "train")
    before = peak()
    clock = Clock()
    result = evaluate(top, truth, train, a=0.6, b=2.6)
    evaluated = clock.read()
    bins = len(result.by_frequency(3)) + len(result.by_frequency(10))
    return {
        "documents": len(top),
        "labels": truth.shape[1],
        "true_pairs": truth.nnz,
        "training_pairs": train.nnz,
        "figures": len(result.figures),
        **evaluated,
        "with_bins": {"bins": bins, **clock.read()},
        "peak_bytes": peak(),
        "peak_bytes_of_the_data": before,
        "P@5": result.figures["P@5"],
        "PSP@5": result.figures["PSP@5"],
    }


def evaluate_kind(folder: Path, kind: str) -> dict[str, Any]:
    """Seconds and bytes of everything except the bootstrap, from files to the contents of metrics.json."""
    clock = Clock()
    from xmcpipe.measuring.files import EvalInputs
    from xmcpipe.stages.evaluate import EvalConfig, evaluate_files

    predictions, truth, train = (folder / f"{name}.{kind}" for name in ("predictions", "truth", "train"))
    metrics = evaluate_files(EvalInputs([predictions], truth, train), EvalConfig(a=0.6, b=2.6, rounds=0))
    names = ("documents", "labels", "joined_by")
    figures = {name: metrics["model"][name] for name in ("P@5", "PSP@5")}
    return {**{name: metrics[name] for name in names}, **clock.read(), "peak_bytes": peak(), **figures}


def bootstrapped(folder: Path, documents: int, rounds: int) -> dict[str, Any]:
    from xmcpipe.metrics import evaluate

    truth = matrix(folder, "truth")[:documents]
    result = evaluate(np.load(folder / "top.npy")[:documents], truth, matrix(folder, "train"))
    clock = Clock()
    intervals = result.intervals(rounds=rounds)
    return {"documents": documents, "rounds": rounds, "intervals": len(intervals), **clock.read()}


def compare_napkinxc(folder: Path, documents: int) -> dict[str, Any]:
    """Time both libraries on the same lists; fails if their figures differ."""
    from xmcpipe.metrics import Training, evaluate, inverse_propensity

    truth_csr, train = matrix(folder, "truth")[:documents], matrix(folder, "train")
    truth_csr.sum_duplicates()
    train.sum_duplicates()
    labels, counts = num_labels(folder), np.bincount(train.indices, minlength=num_labels(folder))
    truth = [truth_csr.indices[a:b].tolist() for a, b in pairwise(truth_csr.indptr)]
    ranked = np.load(folder / "top.npy")[:documents].tolist()
    weights = inverse_propensity(counts, train.shape[0])
    clock = Clock()
    theirs = napkinxc_figures(truth, ranked, weights)
    their_time = clock.read()
    clock = Clock()
    ours = evaluate(ranked, truth, Training(counts, train.shape[0]), k=range(1, K + 1), num_labels=labels)
    our_time = clock.read()
    top = np.array(ranked)
    clock = Clock()
    evaluate(top, truth_csr, Training(counts, train.shape[0]), k=range(1, K + 1))
    our_matrix_time = clock.read()
    for name, values in theirs.items():
        for k, value in enumerate(values, 1):
            assert abs(ours.figures[f"{name}@{k}"] - value) < 1e-9, (name, k)
    return {
        "documents": documents,
        "napkinxc": their_time,
        "ours": our_time,
        "ours_on_matrices": our_matrix_time,
        "times_faster": {key: round(their_time[key] / our_time[key], 1) for key in our_time},
    }


def napkinxc_figures(truth: Any, ranked: Any, weights: Any) -> dict[str, Any]:
    """Metric -> its values at 1 … K, by napkinXC."""
    from napkinxc import metrics as napkin

    return {
        "P": napkin.precision_at_k(truth, ranked, k=K),
        "R": napkin.recall_at_k(truth, ranked, k=K),
        "nDCG": napkin.ndcg_at_k(truth, ranked, k=K),
        "PSP": napkin.psprecision_at_k(truth, ranked, weights, k=K),
        "PSR": napkin.psrecall_at_k(truth, ranked, weights, k=K),
        "PSnDCG": napkin.psndcg_at_k(truth, ranked, weights, k=K),
        "coverage_tested": napkin.coverage_at_k(truth, ranked, k=K),
    }


if __name__ == "__main__":
    main()
