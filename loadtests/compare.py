"""Teacher and student behind the same service, under the same load.

Starts the service on a free port, then lets Locust load the models in turn: closed-loop users,
repetitions interleaved so that a slow minute of the machine meets both. The load generator shares
the machine with the service. Writes results/ner.json and RESULTS.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.exposition import totals
from loadtests.figures import spread
from loadtests.report import record
from loadtests.servers import service

HERE = Path(__file__).parent
WARM_UP_SECONDS = 2


def main() -> None:
    args = parse_arguments()
    runs: list[dict[str, Any]] = []
    with service(args.model_store) as running:
        url = f"http://127.0.0.1:{running.port}"
        for users in args.users:
            for repetition in range(args.repetitions):
                order = args.models if repetition % 2 == 0 else args.models[::-1]
                for model in order:
                    run = load(url, model, users=users, seconds=args.seconds, seed=repetition)
                    runs.append(run | {"repetition": repetition})
                    print(json.dumps(without_latencies(runs[-1])), file=sys.stderr)
    rows = [
        summarize([run for run in runs if run["model"] == model and run["users"] == users])
        for users in args.users
        for model in args.models
    ]
    result = {
        "seconds": args.seconds,
        "repetitions": args.repetitions,
        "rows": rows,
        "ratios": [ratio(runs, args.models, users) for users in args.users],
        "runs": [without_latencies(run) for run in runs],
    }
    print(record("ner", result))
    if any(row["errors"] for row in rows):
        sys.exit("some requests failed: see the column `errors`")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.compare",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m loadtests.compare --users 1 --seconds 5 --repetitions 1",
    )
    parser.add_argument(
        "--models",
        nargs=2,
        default=["teacher", "default"],
        metavar=("TEACHER", "STUDENT"),
        help="models or aliases of the task ner",
    )
    parser.add_argument("--users", nargs="+", type=int, default=[1, 16], help="closed-loop users")
    parser.add_argument("--seconds", type=int, default=20, help="of each run, after warm-up")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each model and load")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    return parser.parse_args()


def load(url: str, model: str, *, users: int, seconds: int, seed: int) -> dict[str, Any]:
    """One run of Locust; requests sent during the warm-up do not count."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.json"
        before = tokens(url)
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "locust", "--locustfile", str(HERE / "locustfile.py")),
                *("--headless", "--only-summary", "--skip-log", "--loglevel", "ERROR"),
                *("--host", url, "--users", str(users), "--spawn-rate", str(users)),
                *("--run-time", f"{seconds + WARM_UP_SECONDS}s", "--stop-timeout", "10"),
                *("--model", model, "--seed", str(seed), "--samples", str(path)),
            ],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if not path.exists():
            sys.exit(f"locust exited with {finished.returncode} and wrote no samples")
        samples = json.loads(path.read_text(encoding="utf-8"))
        after = tokens(url)
    if not samples:
        sys.exit("locust sent no request")
    first = min(sample["start"] for sample in samples) + WARM_UP_SECONDS
    counted = [s for s in samples if first <= s["start"] + s["seconds"] < first + seconds]
    good = [sample for sample in counted if sample["problem"] is None]
    if not good:
        sys.exit(f"{model} answered nothing: {samples[-1]['problem']}")
    used = {kind: after.get(kind, 0.0) - before.get(kind, 0.0) for kind in after}
    return {
        "model": model,
        "answered_by": sorted({sample["model"] for sample in good}),
        "users": users,
        "requests": len(counted),
        "errors": len(counted) - len(good),
        "requests_per_s": len(good) / seconds,
        "texts_per_s": sum(sample["texts"] for sample in good) / seconds,
        "padding_share": used.get("padding", 0.0) / (sum(used.values()) or 1.0),
        "latencies_ms": [1000 * s["seconds"] for s in good if s["texts"] == 1],
    }


def tokens(url: str) -> dict[str, float]:
    """Tokens the service has computed so far, by kind: useful or padding."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as reply:
        return totals(reply.read().decode(), "loyal_tokens_total", by="kind")


def summarize(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row of the table: latencies pooled over the repetitions, rates as their median."""
    latencies = np.concatenate([run["latencies_ms"] for run in runs])
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]) if len(latencies) else [np.nan] * 3
    return {
        "model": runs[0]["model"],
        "answered_by": sorted({name for run in runs for name in run["answered_by"]}),
        "users": runs[0]["users"],
        "requests": sum(run["requests"] for run in runs),
        "errors": sum(run["errors"] for run in runs),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "requests_per_s": statistics.median(run["requests_per_s"] for run in runs),
        "texts_per_s": statistics.median(run["texts_per_s"] for run in runs),
        "padding_share": statistics.median(run["padding_share"] for run in runs),
    }


def ratio(runs: Sequence[dict[str, Any]], models: Sequence[str], users: int) -> dict[str, Any]:
    """Student over teacher, repetition by repetition: above 1 the student is the faster one."""
    teacher, student = (
        sorted(
            (run for run in runs if run["model"] == model and run["users"] == users),
            key=lambda run: run["repetition"],
        )
        for model in models
    )
    pairs = list(zip(teacher, student, strict=True))
    return {
        "users": users,
        "texts_per_s": spread([s["texts_per_s"] / t["texts_per_s"] for t, s in pairs]),
        "p50": spread(
            [np.median(t["latencies_ms"]) / np.median(s["latencies_ms"]) for t, s in pairs]
        ),
    }


def without_latencies(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name != "latencies_ms"}


if __name__ == "__main__":
    main()
