"""How long the service takes from exec to ready, and how much memory it takes then.

Starts the service several times. Writes results/startup.json and RESULTS.md.
"""

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import uvloop

from loadtests import inputs
from loadtests.clients import closed_loop
from loadtests.figures import spread
from loadtests.report import record
from loadtests.servers import (
    START_TIMEOUT_S,
    Service,
    end,
    fetch,
    free_port,
    loyal_command,
    loyal_environment,
    no_model_is_loading,
)

GOAL_S = 3.0
BYTES_FACTOR, BASE_BYTES = 1.5, 150e6
POLL_S = 0.005
CLIENTS = 4
PARAMETER_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
"""Of a parameter in memory, by the precision it is computed in."""


def main() -> None:
    args = parse_arguments()
    runs = []
    for run in range(args.runs):
        runs.append(measure(args.model_store, requests=args.requests))
        print(f"run {run + 1} of {args.runs}: {runs[-1]['moments']}", file=sys.stderr)
    moments = [
        {
            "moment": moment,
            "models": runs[0]["models"][moment],
            **{
                name: spread([run["moments"][moment][name] for run in runs])
                for name in runs[0]["moments"][moment]
            },
            "limit_bytes": runs[0]["limits"][moment],
        }
        for moment in runs[0]["moments"]
    ]
    result = {
        "n": args.runs,
        "requests": args.requests,
        "goal_s": GOAL_S,
        "factor": BYTES_FACTOR,
        "base_bytes": BASE_BYTES,
        "errors": sum(run["errors"] for run in runs),
        "rows": moments,
        "runs": runs,
    }
    print(record("startup", result))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_startup",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=5, help="starts of the service")
    parser.add_argument("--requests", type=int, default=500, help="sent to each when it is ready")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    return parser.parse_args()


def measure(model_store: str, *, requests: int) -> dict[str, Any]:
    """Start the service once."""
    port = free_port()
    start = time.monotonic()
    popen = subprocess.Popen(
        loyal_command(port),
        env=loyal_environment(model_store, log_level="warning"),
        stdout=subprocess.DEVNULL,
    )
    service = Service(port, psutil.Process(popen.pid))

    def moment() -> dict[str, float]:
        cpu = service.process.cpu_times()
        wall_s = time.monotonic() - start
        return {"wall_s": wall_s, "cpu_s": cpu.user + cpu.system, "rss_bytes": service.rss_bytes}

    try:
        wait_for(lambda: is_ready(port), popen)
        ready = moment()
        wait_for(lambda: no_model_is_loading(port), popen)
        loaded = moment()
        models = [
            model
            for task in service.get("/v1/models")["tasks"]
            for model in task["models"]
            if model["state"] == "ready"
        ]
        asked = itertools.islice(calls(models), requests)
        load = uvloop.run(closed_loop(port, asked, clients=CLIENTS))
        used = moment()
    finally:
        end(popen)
    default = [model for model in models if "default" in model["aliases"]]
    subjects = {"ready": default, "loaded": models, "used": models}
    return {
        "moments": {"ready": ready, "loaded": loaded, "used": used},
        "models": {name: [model["name"] for model in of] for name, of in subjects.items()},
        "limits": {name: limits_bytes(of, Path(model_store)) for name, of in subjects.items()},
        "errors": len(load.samples) - len(load.accepted),
    }


def is_ready(port: int) -> bool:
    """Whether /readyz answers 200: the default models of all tasks serve."""
    try:
        fetch(port, "/readyz")
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], bool], popen: subprocess.Popen[Any]) -> None:
    """Come back as soon as a condition holds.

    Raises:
        RuntimeError: the service ended, or the condition does not come true.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if popen.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the service is not ready; exit code {popen.returncode}")
        time.sleep(POLL_S)


def calls(models: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    """Requests of mixed lengths to all models in turn."""
    streams = [
        itertools.cycle(
            inputs.v1(model["task"], value, model=f"{model['model']}:{model['version']}")
            for value in inputs.inputs_of(model["task"])
        )
        for model in models
    ]
    return itertools.chain.from_iterable(zip(*streams, strict=True))


def limits_bytes(models: Sequence[Mapping[str, Any]], store: Path) -> dict[str, float]:
    """What the process may take: by the size of the graphs on disk, and of weights in memory."""
    folders = [store / m["task"] / m["model"] / str(m["version"]) for m in models]
    sizes = {
        "disk": sum((folder / "model.onnx").stat().st_size for folder in folders),
        "memory": sum(m["parameters"] * PARAMETER_BYTES[m["precision"]] for m in models),
    }
    return {kind: BYTES_FACTOR * size + BASE_BYTES for kind, size in sizes.items()}


if __name__ == "__main__":
    main()
