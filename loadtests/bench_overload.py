"""The service under more requests than it can answer: who is answered, how fast, and who is not.

Measures the capacity with closed-loop callers, then sends at multiples of it, at Poisson times,
however the service is doing. Writes results/overload.json and RESULTS.md.
"""

import argparse
import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import uvloop

from loadtests import inputs
from loadtests.clients import Load, arrivals, closed_loop, open_loop
from loadtests.figures import percentiles_ms, ratios, shares, spread
from loadtests.report import record
from loadtests.servers import service
from loadtests.texts import TEXTS

TASK = "ner"
CONNECTIONS = 4000
CAPACITY_WARM_UP_S = 1.0
COME_BACK = 50
"""So many of those refused last come back when they were told to."""


def main() -> None:
    args = parse_arguments()
    allow_files(2 * CONNECTIONS)
    runs = []
    with service(args.model_store, max_connections=CONNECTIONS) as loyal:
        for repetition in range(args.repetitions):
            for model in args.models if repetition % 2 == 0 else args.models[::-1]:
                run = measure(loyal.port, model, repetition, args)
                runs.append(run)
                print(json.dumps({"model": model} | run["figures"]), file=sys.stderr)
    result = {
        "n": args.repetitions,
        "seconds": args.seconds,
        "clients": args.clients,
        "capacities": [
            {"model": model} | spread([run["capacity_per_s"] for run in runs_of(runs, model)])
            for model in args.models
        ],
        "rows": [
            summarize(model, level, [run["loads"][level] for run in runs_of(runs, model)])
            | {"p99_ratio": p99_ratio(runs_of(runs, model), level)}
            for model in args.models
            for level in args.levels
        ],
        "come_back": [
            {"model": model, "refused": sum(asked), "answered": sum(answered)}
            for model in args.models
            for asked, answered in [zip(*returns_of(runs, model), strict=True)]
        ],
        "runs": [{name: run[name] for name in ("model", "figures")} for run in runs],
    }
    print(record("overload", result))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_overload",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m loadtests.bench_overload --seconds 2 --repetitions 1",
    )
    parser.add_argument(
        "--models", nargs="+", default=["teacher", "default"], help=f"or aliases of {TASK}"
    )
    levels = [0.5, 1.0, 2.0, 4.0]
    parser.add_argument("--levels", nargs="+", type=float, default=levels, help="times capacity")
    parser.add_argument("--clients", type=int, default=64, help="callers that measure the capacity")
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--repetitions", type=int, default=3, help="of each model")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    return parser.parse_args()


def allow_files(count: int) -> None:
    """Let this process and those it starts open so many files, as far as the system does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def measure(port: int, model: str, repetition: int, args: argparse.Namespace) -> dict[str, Any]:
    """One repetition: the capacity, every level, and the return of those that were refused."""
    capacity = uvloop.run(
        closed_loop(
            port,
            calls(model, seed=repetition),
            clients=args.clients,
            seconds=args.seconds,
            warm_up_s=CAPACITY_WARM_UP_S,
        )
    ).accepted_per_s
    loads = {}
    for level in args.levels:
        times_s = arrivals(level * capacity, args.seconds, seed=repetition)
        requests = calls(model, seed=repetition)
        loads[level] = uvloop.run(open_loop(port, requests, times_s=times_s))
    return {
        "model": model,
        "capacity_per_s": capacity,
        "loads": loads,
        "come_back": come_back(port, model, loads[max(args.levels)]),
        "figures": {
            "capacity_per_s": capacity,
            "levels": [summarize(model, level, [load]) for level, load in loads.items()],
        },
    }


def calls(model: str, *, seed: int) -> Iterator[bytes]:
    """Requests with one text each, without end."""
    requests = [inputs.v1(TASK, text, model=model) for text in TEXTS]
    chooser = random.Random(seed)
    return (chooser.choice(requests) for _ in itertools.count())


def come_back(port: int, model: str, load: Load) -> tuple[int, int]:
    """How many of those refused last came back when Retry-After said, and were answered then."""
    refused = [s for s in load.samples if s.retry_after_s is not None][-COME_BACK:]
    if not refused:
        return 0, 0
    now = time.monotonic()
    times_s = sorted(max(0.0, s.done_s + (s.retry_after_s or 0) - now) for s in refused)
    again = uvloop.run(open_loop(port, calls(model, seed=0), times_s=times_s))
    return len(again.samples), len(again.accepted)


def summarize(model: str, level: float, loads: Sequence[Load]) -> dict[str, Any]:
    """One row: latencies pooled over the repetitions, rates as their spread."""
    samples = [sample for load in loads for sample in load.samples]
    refused = [sample for sample in samples if sample.status == 429]
    waits_s = [s.retry_after_s for s in refused if s.retry_after_s is not None]
    return {
        "model": model,
        "level": level,
        "requests": len(samples),
        "accepted_per_s": spread([load.accepted_per_s for load in loads]),
        **percentiles_ms([s.seconds for s in samples if s.status == 200]),
        "shares": shares([sample.status for sample in samples]),
        "server_errors": sum(s.status >= 500 and s.status != 504 for s in samples),
        "without_reply": sum(sample.status == 0 for sample in samples),
        "refused_without_retry_after": len(refused) - len(waits_s),
        "retry_after_s": spread(waits_s) if waits_s else None,
        "refusals": percentiles_ms([sample.seconds for sample in refused]),
        "lag": percentiles_ms([sample.sent_s - sample.due_s for sample in samples]),
        "generator_cores": spread([load.generator_cores for load in loads]),
    }


def p99_ratio(runs: Sequence[dict[str, Any]], level: float) -> dict[str, float] | None:
    """Accepted p99 at a level over the one at capacity, repetition by repetition."""
    figures = [{row["level"]: row["p99_ms"] for row in run["figures"]["levels"]} for run in runs]
    if any(one.get(1) is None or one[level] is None for one in figures):
        return None
    return ratios([one[level] for one in figures], [one[1] for one in figures])


def returns_of(runs: Sequence[dict[str, Any]], model: str) -> list[tuple[int, int]]:
    return [run["come_back"] for run in runs_of(runs, model)]


def runs_of(runs: Sequence[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    return [run for run in runs if run["model"] == model]


if __name__ == "__main__":
    main()
