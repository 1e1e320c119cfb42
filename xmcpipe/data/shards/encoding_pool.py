"""Tokenizes shards on all cores, in spawned processes, which start without the libraries of their parent."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection

from xmcpipe.data.shards.tokenizing import Lengths, ShardTask, encode_shard
from xmcpipe.errors import XmcpipeError
from xmcpipe.machine.cores import usable_cores
from xmcpipe.signals import blocked


def encode_shards(
    tasks: Sequence[ShardTask], num_workers: int, done: Callable[[int, Lengths], object]
) -> list[Lengths]:
    """Run the tasks in `num_workers` processes; returns their results in the order of the tasks.

    With one worker, tasks run in this process. With fewer workers than cores, each worker uses several
    threads. `done(number of the task, its lengths)` is called when a task ends. Raises the errors of tasks,
    and XmcpipeError if a worker is killed.
    """
    results: list[Lengths | None] = [None] * len(tasks)

    def finish(number: int, lengths: Lengths) -> None:
        results[number] = lengths
        done(number, lengths)

    if num_workers <= 1:
        for number, task in enumerate(tasks):
            finish(number, encode_shard(task))
    else:
        _encode_in_pool(tasks, num_workers, finish)
    return [result for result in results if result is not None]


def _encode_in_pool(
    tasks: Sequence[ShardTask], num_workers: int, finish: Callable[[int, Lengths], object]
) -> None:
    """Run the tasks in a pool of processes; `finish(number of the task, its lengths)` is called for each."""
    threads, context = max(1, usable_cores() // num_workers), get_context("spawn")
    ended, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(num_workers, context, _start_worker, (threads, ended))
    try:
        with blocked():
            futures = {pool.submit(encode_shard, task): number for number, task in enumerate(tasks)}
        for future in as_completed(futures):
            finish(futures[future], future.result())
    except BrokenProcessPool as error:
        raise XmcpipeError(
            "a worker process was killed during tokenization, probably because memory ran out",
            "set tokenize.num_workers to a smaller number",
        ) from error
    except BaseException:
        alive.close()  # ends the workers, in the middle of their tasks
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        alive.close()
        ended.close()


def _start_worker(threads: int, ended: Connection) -> None:
    """Set up a worker: the number of its threads, before its tokenizer starts them, and its end."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    threading.Thread(target=_end_with_parent, args=(ended,), daemon=True).start()


def _end_with_parent(ended: Connection) -> None:
    # Without this, a worker notices only after its task, which is a whole shard, that nobody waits for it.
    ended.poll(None)  # the other end is closed, by the parent or because that was killed
    os._exit(1)
