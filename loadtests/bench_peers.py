"""The same model behind Loyal and behind other servers, under closed-loop callers.

Makes an environment for each peer in .venv-peers/, and leaves out those that cannot be installed or
do not start. Servers take turns; each starts anew in every repetition. Writes results/peers.json
and RESULTS.md.
"""

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from loadtests.ceiling import ceiling_per_s
from loadtests.clients import closed_loop
from loadtests.connection import post
from loadtests.environment import available_cores
from loadtests.figures import percentiles_ms, ratios, spread
from loadtests.peers.catalog import PEERS, ROOT, Peer, install
from loadtests.report import record
from loadtests.servers import (
    DIRECT,
    cpu_seconds,
    free_port,
    loyal_command,
    loyal_environment,
    running,
)
from loadtests.texts import HEADLINES, SENTENCES

LOYAL = "Loyal"
TEXTS = HEADLINES + SENTENCES
"""All fit into one window: only Loyal reads longer ones to their end."""

CLIENTS = (1, 16, 64)
CORES = 2
WARM_UP_S = 1.0
QUEUE_MS = 2000
"""Loyal refuses what would wait longer; the peers refuse nothing, so here it must not either."""


@dataclass(frozen=True, slots=True)
class Server:
    """Loyal or a peer, ready to be started."""

    name: str
    peer: Peer | None
    store: str
    package: Path
    folder: Path

    def command(self, port: int) -> list[str]:
        if self.peer is None:
            return loyal_command(port)
        return [str(self.peer.python), *self.peer.arguments(port, self.folder)]

    @property
    def environment(self) -> dict[str, str]:
        if self.peer is None:
            settings = {"threads": CORES, "load": "on_demand", "log_level": "warning"}
            return loyal_environment(self.store, max_queue_ms=QUEUE_MS, **settings)
        alone = {
            "PEER_PACKAGE": str(self.package.resolve()),
            "PYTHONPATH": str(ROOT),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(self.folder),
            "DO_NOT_TRACK": "1",
        }
        return dict(os.environ) | alone

    @property
    def path(self) -> str:
        return "/ner" if self.peer else "/v1/ner"

    def body(self, text: str) -> bytes:
        return json.dumps(self.peer.wrap(text) if self.peer else {"inputs": text}).encode()

    def ask(self, port: int, text: str) -> list[dict[str, Any]]:
        """The entities of a text."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{self.path}",
            self.body(text),
            {"content-type": "application/json"},
        )
        with DIRECT.open(request, timeout=10) as reply:
            answer = json.load(reply)
        return self.peer.unwrap(answer) if self.peer else answer

    def is_ready(self, port: int) -> bool:
        try:
            self.ask(port, TEXTS[0])
        except (urllib.error.URLError, OSError, ValueError):
            return False
        return True

    def requests(self, seed: int) -> Iterator[bytes]:
        """One text each, without end."""
        requests = [post(self.path, self.body(text)) for text in TEXTS]
        chooser = random.Random(seed)
        return (chooser.choice(requests) for _ in itertools.count())


def main() -> None:
    args = parse_arguments()
    task = Path(args.model_store) / "ner"
    aliases = json.loads((task / "aliases.json").read_text(encoding="utf-8"))
    package = newest(task, aliases.get(args.model, args.model))
    with tempfile.TemporaryDirectory() as folder:
        servers = [Server(LOYAL, None, args.model_store, package, Path(folder))]
        left_out: dict[str, str] = {}
        for peer in PEERS:
            if args.peers and peer.environment not in args.peers:
                continue
            print(f"{peer.name}: installing unless installed", file=sys.stderr)
            if fault := install(peer):
                left_out[peer.name] = fault
            else:
                own = Path(folder) / peer.name
                servers.append(Server(peer.name, peer, args.model_store, package, own))
        if args.install_only:
            sys.exit("\n".join(f"{name}: {fault}" for name, fault in left_out.items()) or 0)
        result = bench(servers, left_out, args)
    print(record("peers", result))


def newest(task: Path, name: str) -> Path:
    """Folder of `<model>` or `<model>:<version>`."""
    model, _, version = name.partition(":")
    versions = [path for path in (task / model).iterdir() if path.name.isdigit()]
    return task / model / (version or max(versions, key=lambda path: int(path.name)).name)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_peers",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m loadtests.bench_peers --seconds 2 --repetitions 1",
    )
    parser.add_argument("--model", default="default", help="of ner: alias or <model>[:<version>]")
    parser.add_argument("--peers", nargs="*", help="environments; all if none is named")
    parser.add_argument("--seconds", type=float, default=4, help="of each load, after warm-up")
    parser.add_argument("--repetitions", type=int, default=3, help="starts of each server")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    parser.add_argument("--install-only", action="store_true", help="install the peers and stop")
    return parser.parse_args()


def bench(
    servers: list[Server], left_out: dict[str, str], args: argparse.Namespace
) -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    ceilings = []
    answers: dict[str, list[Any]] = {}
    for repetition in range(args.repetitions):
        ceilings.append(
            ceiling_per_s(servers[0].package, TEXTS, processes=CORES, seconds=args.seconds)
        )
        print(f"ceiling {ceilings[-1]:.0f} texts/s", file=sys.stderr)
        for server in servers if repetition % 2 == 0 else servers[::-1]:
            if server.name in left_out:
                continue
            try:
                runs += measure(server, repetition, args.seconds, answers)
            except RuntimeError as error:
                print(f"{server.name}: {error}", file=sys.stderr)
                left_out[server.name] = str(error).partition("; its log")[0]
    names = [server.name for server in servers if server.name not in left_out]
    rows = [summarize(runs, name, clients) for name in names for clients in CLIENTS]
    return {
        "n": args.repetitions,
        "seconds": args.seconds,
        "texts": len(TEXTS),
        "model": "/".join(servers[0].package.parts[-3:]),
        "cores": available_cores(),
        "ceiling_per_s": spread(ceilings),
        "rows": rows,
        "same_answers": {name: agreement(answers, name) for name in names},
        "goals": goals(runs, names, ceilings) if LOYAL in names else [],
        "left_out": left_out,
        "versions": {s.name: s.peer.versions() for s in servers if s.peer and s.name in names},
        "runs": [{k: v for k, v in run.items() if k != "latencies_s"} for run in runs],
    }


def measure(
    server: Server, repetition: int, seconds: float, answers: dict[str, list[Any]]
) -> list[dict[str, Any]]:
    """One start of a server: every number of callers."""
    port = free_port()
    begin = time.monotonic()
    runs = []
    with running(
        server.command(port), is_ready=lambda: server.is_ready(port), env=server.environment
    ) as process:
        start_s = time.monotonic() - begin
        if server.name not in answers:
            answers[server.name] = [server.ask(port, text) for text in TEXTS]
        # Adaptive batching learns, and every worker runs its first batches.
        uvloop.run(closed_loop(port, server.requests(0), clients=max(CLIENTS), seconds=1.0))
        for clients in CLIENTS:
            replies: Counter[int] = Counter()
            cpu_s = cpu_seconds(process)
            load = uvloop.run(
                closed_loop(
                    port,
                    server.requests(repetition),
                    clients=clients,
                    seconds=seconds,
                    warm_up_s=WARM_UP_S,
                    on_reply=lambda _, reply, replies=replies: replies.update([reply.status]),
                )
            )
            cpu_s = cpu_seconds(process) - cpu_s
            run = {
                "server": server.name,
                "repetition": repetition,
                "start_s": start_s,
                "clients": clients,
                "requests": len(load.samples),
                "errors": len(load.samples) - len(load.accepted),
                "per_s": load.accepted_per_s,
                "generator_cores": load.generator_cores,
                "cpu_ms": 1000 * cpu_s / max(1, replies.total()),
                "latencies_s": [sample.seconds for sample in load.accepted],
            }
            run |= percentiles_ms(run["latencies_s"])
            runs.append(run)
            shown = {name: value for name, value in run.items() if name != "latencies_s"}
            print(json.dumps(shown), file=sys.stderr)
    return runs


def summarize(runs: Sequence[dict[str, Any]], server: str, clients: int) -> dict[str, Any]:
    """One row: latencies pooled over the repetitions, rates as their spread."""
    own = of(runs, server, clients)
    return {
        "server": server,
        "clients": clients,
        "requests": sum(run["requests"] for run in own),
        "errors": sum(run["errors"] for run in own),
        "per_s": spread([run["per_s"] for run in own]),
        **percentiles_ms([seconds for run in own for seconds in run["latencies_s"]]),
        "generator_cores": spread([run["generator_cores"] for run in own]),
        "cpu_ms": spread([run["cpu_ms"] for run in own]),
    }


def of(runs: Sequence[dict[str, Any]], server: str, clients: int) -> list[dict[str, Any]]:
    """The runs of a server, by repetition."""
    own = [run for run in runs if (run["server"], run["clients"]) == (server, clients)]
    return sorted(own, key=lambda run: run["repetition"])


def series(runs: Sequence[dict[str, Any]], server: str, clients: int, name: str) -> list[float]:
    return [run[name] for run in of(runs, server, clients)]


def goals(
    runs: Sequence[dict[str, Any]], names: Sequence[str], ceilings: Sequence[float]
) -> list[dict[str, Any]]:
    """What was wanted of Loyal, and what came out, repetition by repetition."""
    loyal_64 = series(runs, LOYAL, 64, "per_s")
    found: list[tuple[str, float, str, dict[str, float] | None]] = [
        ("64 clients: requests/s over the ceiling", 0.8, "least", ratios(loyal_64, ceilings))
    ]
    peers = [name for name in names if name != LOYAL]
    if peers:
        best = max(peers, key=lambda name: spread(series(runs, name, 64, "per_s"))["median"])
        theirs = series(runs, best, 64, "per_s")
        title = f"64 clients: requests/s over the best peer ({best})"
        found.append((title, 2.2, "least", ratios(loyal_64, theirs)))
        best = min(peers, key=lambda name: spread(series(runs, name, 1, "p50_ms"))["median"])
        theirs = series(runs, best, 1, "p50_ms")
        title = f"1 client: p50 over that of the best peer ({best})"
        found.append((title, 1.0, "most", ratios(series(runs, LOYAL, 1, "p50_ms"), theirs)))
    p99, p50 = (series(runs, LOYAL, 16, name) for name in ("p99_ms", "p50_ms"))
    found.append(("16 clients: p99 over p50", 2.0, "most", ratios(p99, p50)))
    return [
        {
            "goal": title,
            "bound": bound,
            "at": at,
            "measured": measured,
            "reached": measured is not None
            and (measured["median"] >= bound if at == "least" else measured["median"] <= bound),
        }
        for title, bound, at, measured in found
    ]


def agreement(answers: dict[str, list[Any]], name: str) -> float | None:
    """Part of the texts for which a server names the same entities as Loyal."""
    if LOYAL not in answers:
        return None
    pairs = zip(answers[LOYAL], answers[name], strict=True)
    return sum(spans(ours) == spans(theirs) for ours, theirs in pairs) / len(TEXTS)


def spans(entities: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(e["entity_group"], e["start"], e["end"]) for e in entities]


if __name__ == "__main__":
    main()
