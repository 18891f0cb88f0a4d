"""Minutes of mixed requests: whether memory stays flat and the metrics add up.

Asks every model that the store serves, under /v1 and /v2, with texts of all lengths. Writes
results/soak.json and RESULTS.md.
"""

import argparse
import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from loadtests import inputs
from loadtests.clients import closed_loop
from loadtests.connection import Reply
from loadtests.exposition import total, totals
from loadtests.figures import differences, growth, percentiles_ms
from loadtests.report import record
from loadtests.servers import Service, fetch, service

RSS_EVERY_S = 1.0
GOAL = 0.05
SETTLE_S = 10.0
"""For the last requests to be counted: a reply may arrive before its metrics change."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a request adds to the metrics when it is answered."""

    windows: int
    tokens: int


def main() -> None:
    args = parse_arguments()
    with service(args.model_store, log_level="warning") as loyal:
        models = [
            model
            for task in loyal.get("/v1/models")["tasks"]
            for model in task["models"]
            if model["state"] == "ready"
        ]
        expected, dropped = learn(loyal, models)
        result = soak(loyal, expected, minutes=args.minutes, clients=args.clients)
    result |= {"models": [model["name"] for model in models], "inputs_refused_alone": dropped}
    print(record("soak", result))
    if not all(check["equal"] for check in result["checks"]):
        sys.exit("the metrics do not add up: see the table")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.soak",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long")
    parser.add_argument("--clients", type=int, default=8, help="closed-loop callers")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    return parser.parse_args()


def learn(loyal: Service, models: Sequence[dict[str, Any]]) -> tuple[dict[bytes, Expected], int]:
    """What each request costs, sent alone; and how many are not answered even then."""
    expected: dict[bytes, Expected] = {}
    dropped = 0
    for model in models:
        task, name = model["task"], model["model"]
        for value in inputs.inputs_of(task):
            request = inputs.v1(task, value, model=name)
            before = counters(loyal)
            load = uvloop.run(closed_loop(loyal.port, iter([request]), clients=1))
            added = differences(counters(settled(loyal)), before)
            if load.accepted:
                cost = Expected(int(added["windows"]), int(added["useful"]))
                expected |= {request: cost, inputs.v2(task, value, model=name): cost}
            else:
                dropped += 1
        print(f"{model['name']}: {len(expected)} requests learnt", file=sys.stderr)
    return expected, dropped


def soak(
    loyal: Service, expected: dict[bytes, Expected], *, minutes: float, clients: int
) -> dict[str, Any]:
    """Run the load and compare what was sent with what was counted."""
    answered: Counter[bytes] = Counter()
    statuses: Counter[str] = Counter()

    def on_reply(request: bytes, reply: Reply) -> None:
        statuses[str(reply.status)] += 1
        if reply.status == 200:
            answered[request] += 1

    before = exposition(loyal)
    memory: list[int] = []
    is_over = threading.Event()
    sampler = threading.Thread(target=sample_memory, args=(loyal, memory, is_over))
    sampler.start()
    try:
        calls = mixed(list(expected))
        load = uvloop.run(
            closed_loop(loyal.port, calls, clients=clients, seconds=60 * minutes, on_reply=on_reply)
        )
    finally:
        is_over.set()
        sampler.join()
    after = exposition(settled(loyal))
    costs = [(expected[request], count) for request, count in answered.items()]
    added = differences(counters_of(after), counters_of(before))
    codes = differences(
        totals(after, "loyal_requests_total", by="code"),
        totals(before, "loyal_requests_total", by="code"),
    )
    pairs = {
        "requests, by status": (dict(statuses), {code: int(n) for code, n in codes.items() if n}),
        "windows answered": (sum(c.windows * n for c, n in costs), added["windows"]),
        "useful tokens": (sum(c.tokens * n for c, n in costs), added["useful"]),
        "useful and padding tokens, and tokens of batches": (
            added["useful"] + added["padding"],
            added["padded"],
        ),
    }
    third = len(memory) // 3
    return {
        "minutes": minutes,
        "clients": clients,
        "n": sum(statuses.values()),
        "without_reply": sum(sample.status == 0 for sample in load.samples),
        "accepted_per_s": load.accepted_per_s,
        **percentiles_ms([sample.seconds for sample in load.accepted]),
        "rss_bytes": {"first": memory[0], "last": memory[-1], "highest": max(memory)},
        "rss_samples": len(memory),
        "rss_growth": growth(memory) if third else None,
        "goal": GOAL,
        "checks": [
            {"what": what, "expected": ours, "measured": theirs, "equal": ours == theirs}
            for what, (ours, theirs) in pairs.items()
        ],
        "rss_by_minute": memory[:: int(60 / RSS_EVERY_S)],
    }


def mixed(requests: Sequence[bytes]) -> Iterator[bytes]:
    """Requests in random order, without end."""
    chooser = random.Random(0)
    return (chooser.choice(requests) for _ in itertools.count())


def sample_memory(loyal: Service, memory: list[int], is_over: threading.Event) -> None:
    """Note the memory of the service until the soak is over."""
    while True:
        memory.append(loyal.rss_bytes)
        if is_over.wait(RSS_EVERY_S):
            return


def settled(loyal: Service) -> Service:
    """The service once it counts no request as in progress."""
    deadline = time.monotonic() + SETTLE_S
    while total(exposition(loyal), "loyal_requests_in_progress") and time.monotonic() < deadline:
        time.sleep(0.02)
    return loyal


def exposition(loyal: Service) -> str:
    return fetch(loyal.port, "/metrics").decode()


def counters(loyal: Service) -> dict[str, float]:
    return counters_of(exposition(loyal))


def counters_of(text: str) -> dict[str, float]:
    """What batches have added up to, over all models."""
    kinds = totals(text, "loyal_tokens_total", by="kind")
    return {
        "windows": total(text, "loyal_batch_items_sum"),
        "padded": total(text, "loyal_batch_padded_tokens_sum"),
        "useful": kinds.get("useful", 0.0),
        "padding": kinds.get("padding", 0.0),
    }


if __name__ == "__main__":
    main()
