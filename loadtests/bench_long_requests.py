"""What a long request costs the short ones of the same model: their p95 beside it and alone.

Starts the service; one caller sends short requests back to back, first alone, then while another
sends requests of 100,000 characters back to back. Writes results/long_requests.json and RESULTS.md.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import uvloop

from loadtests import inputs
from loadtests.clients import Load, closed_loop
from loadtests.connection import post
from loadtests.figures import spread
from loadtests.report import record
from loadtests.servers import service
from loadtests.texts import ARTICLES, SENTENCES

LONG_CHARS = 100_000
TEXT_CHARS = 20_000
"""What the service takes as one text; a context may have LONG_CHARS."""

WARM_UP_S = 2.0
LONG_TIMEOUT_MS = 60_000
"""Of the service: what a long request needs is measured, not its deadline."""


def main() -> None:
    args = parse_arguments()
    runs = []
    for run in range(args.repetitions):
        runs.append(measure(args))
        print(f"run {run + 1} of {args.repetitions}: {runs[-1]}", file=sys.stderr)
    result = {
        "task": args.task,
        "threads": args.threads,
        "characters": LONG_CHARS,
        "repetitions": args.repetitions,
        **{name: spread([run[name] for run in runs]) for name in runs[0]},
        "runs": runs,
    }
    print(record("long_requests", result))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_long_requests",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--task", choices=("ner", "qa"), default="ner", help="whose default answers"
    )
    parser.add_argument("--seconds", type=float, default=20, help="of each of the two loads")
    parser.add_argument("--repetitions", type=int, default=3, help="of both, in turn")
    parser.add_argument("--threads", type=int, default=0, help="of the service; 0 for all cores")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    return parser.parse_args()


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Both loads, one after the other, on one service."""
    settings = {"threads": args.threads, "request_timeout_ms": LONG_TIMEOUT_MS}
    with service(args.model_store, log_level="warning", **settings) as running:
        alone = uvloop.run(short_ones(running.port, args))
        beside, long = uvloop.run(short_beside_long(running.port, args))
    return {
        "n_alone": len(alone.accepted),
        "n_beside": len(beside.accepted),
        "p50_alone_ms": percentile_ms(alone, 50),
        "p95_alone_ms": percentile_ms(alone, 95),
        "p50_beside_ms": percentile_ms(beside, 50),
        "p95_beside_ms": percentile_ms(beside, 95),
        "ratio_p95": percentile_ms(beside, 95) / percentile_ms(alone, 95),
        "n_long": len(long.accepted),
        "long_s": statistics.median(sample.seconds for sample in long.accepted),
        "errors": sum(len(load.samples) - len(load.accepted) for load in (alone, beside, long)),
    }


async def short_ones(port: int, args: argparse.Namespace) -> Load:
    return await closed_loop(
        port, short_requests(args.task), clients=1, seconds=args.seconds, warm_up_s=WARM_UP_S
    )


async def short_beside_long(port: int, args: argparse.Namespace) -> tuple[Load, Load]:
    """The long ones last at least as long as the short ones are measured."""
    short = asyncio.create_task(short_ones(port, args))
    going_on = itertools.takewhile(lambda _: not short.done(), itertools.repeat(long(args.task)))
    return await asyncio.gather(short, closed_loop(port, going_on, clients=1))


def short_requests(task: str) -> Iterator[bytes]:
    """One sentence each, over and over."""
    return itertools.cycle([inputs.v1(task, value) for value in of_task(task, SENTENCES)])


def long(task: str) -> bytes:
    """A request of LONG_CHARS characters of running text."""
    text = "\n".join(itertools.islice(itertools.cycle(ARTICLES), 1000))[:LONG_CHARS]
    if task == "qa":
        return inputs.v1("qa", {"question": inputs.QUESTIONS[0], "context": text})
    texts = [text[at : at + TEXT_CHARS] for at in range(0, LONG_CHARS, TEXT_CHARS)]
    return post(f"/v1/{task}", json.dumps({"inputs": texts}).encode())


def of_task(task: str, texts: Sequence[str]) -> list[inputs.Input]:
    if task == "qa":
        return [{"question": inputs.QUESTIONS[0], "context": text} for text in texts]
    return list(texts)


def percentile_ms(load: Load, q: float) -> float:
    return float(np.percentile([1000 * sample.seconds for sample in load.accepted], q))


if __name__ == "__main__":
    main()
