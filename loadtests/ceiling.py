"""What the cores can do without a server: processes with one thread each, side by side."""

import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier

from loadtests.bench_session import Subject

BATCH = 32
MEETING_TIMEOUT_S = 60

barrier: Barrier
"""Of this process and those beside it: none measures before all have warmed up."""


def ceiling_per_s(package: Path, texts: Sequence[str], *, processes: int, seconds: float) -> float:
    """Texts a second through tokenizer and graph, in batches of 32, all processes together.

    Args:
        package: whose graph runs.
        texts: neighbours in length share a batch.
        processes: side by side.
        seconds: of measuring.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_meet, initargs=(context.Barrier(processes),)
    ) as pool:
        rates = [pool.submit(_rate, package, list(texts), seconds) for _ in range(processes)]
        return sum(rate.result() for rate in rates)


def _meet(shared: Barrier) -> None:
    global barrier
    barrier = shared


def _rate(package: Path, texts: list[str], seconds: float) -> float:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    subject = Subject.load(package)
    copies = math.lcm(len(texts), BATCH) // len(texts)
    ordered = sorted(texts * copies, key=len)
    batches = [ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)]
    for batch in batches:
        subject.run(batch)
    barrier.wait(MEETING_TIMEOUT_S)
    done = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for batch in batches:
            subject.run(batch)
            done += BATCH
    return done / (time.perf_counter() - begin)
