"""Packages that share a trunk against the same packages apart: memory, and time of each.

Loads packages as the service does. Memory is what a fresh process gains by loading and warming
them; time is CPU time of the one thread that runs a text, all ways in turns. Writes
results/trunks.json and RESULTS.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from app.contract.encoded_text import Input
from app.contract.golden import read_golden
from app.contract.manifest import TRUNKS, Manifest, read_manifest
from app.contract.pipeline import Package
from app.loading import Shared, load_package
from app.runtimes import Session
from app.settings import Settings
from loadtests.figures import spread
from loadtests.report import record

WAYS = ("one", "together", "apart")


def main() -> None:
    args = parse_arguments()
    if args.weigh:
        print(weigh(args.packages, way=args.weigh))
        return
    packages = args.packages or default_packages(args.model_store)
    alone = {path: [weighed([path], "one") for _ in range(args.runs)] for path in packages}
    heaviest = max(alone.values(), key=statistics.median)
    memory = {"one": heaviest} | {
        way: [weighed(packages, way) for _ in range(args.runs)] for way in WAYS[1:]
    }
    one = statistics.median(heaviest)
    result = {
        "n": args.runs,
        "rounds": args.rounds,
        "trunk_bytes": trunk_bytes(packages[0]),
        "memory": [
            {
                "way": way,
                "packages": 1 if way == "one" else len(packages),
                "bytes": spread(found),
                "to_one": spread([each / one for each in found]),
            }
            for way, found in memory.items()
        ],
        "rows": timed(packages, args.rounds),
    }
    print(record("trunks", result))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_trunks",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "packages",
        nargs="*",
        type=Path,
        help="package folders; without any, the newest versions on the trunk that most are on",
    )
    parser.add_argument("--model-store", type=Path, default=Path("model_store"))
    parser.add_argument("--runs", type=int, default=3, help="processes for each figure of memory")
    parser.add_argument("--rounds", type=int, default=20, help="passes over the golden examples")
    parser.add_argument("--weigh", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def default_packages(store: Path) -> list[Path]:
    """The newest versions of the models on the trunk that most are on."""
    on_trunk: dict[str, list[Path]] = {}
    for model in sorted({path.parents[1] for path in store.glob("*/*/*/manifest.json")}):
        newest = max((p for p in model.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
        trunk = read_manifest(newest.resolve()).trunk
        if trunk:
            on_trunk.setdefault(trunk, []).append(newest)
    if not on_trunk:
        raise SystemExit(f"{store} has no package on a trunk")
    return max(on_trunk.values(), key=len)


def trunk_bytes(package: Path) -> int:
    manifest: Manifest = read_manifest(package.resolve())
    return (package.resolve().parents[2] / TRUNKS / f"{manifest.trunk}.onnx").stat().st_size


def opened(path: Path, shared: Shared) -> tuple[Package, Session]:
    store = path.resolve().parents[2]
    settings = Settings.model_validate({"model_store": store, "runtime": "onnxruntime"})
    package, engine = load_package(path.resolve(), settings, threads=1, shared=shared)
    return package, engine.session


def weigh(packages: list[Path], *, way: str) -> int:
    """Bytes that this process gains by the packages."""
    before = psutil.Process().memory_info().rss
    shared = Shared()
    chosen = packages[:1] if way == "one" else packages
    kept = [opened(path, Shared() if way == "apart" else shared) for path in chosen]
    gained = psutil.Process().memory_info().rss - before
    del kept
    return gained


def weighed(packages: list[Path], way: str) -> float:
    command = [sys.executable, "-m", "loadtests.bench_trunks", "--weigh", way]
    found = subprocess.run(
        [*command, *map(str, packages)], check=True, capture_output=True, text=True
    )
    return float(json.loads(found.stdout))


def timed(packages: list[Path], rounds: int) -> list[dict[str, Any]]:
    """Each package on the shared trunk and on one of its own, one text a run."""
    shared = Shared()
    pairs = [(opened(path, shared), opened(path, Shared())) for path in packages]
    rows = []
    for (package, together), (_, apart) in pairs:
        inputs = [example.contract_input for example in read_golden(package.path).examples]
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for session, seconds in zip((together, apart), taken, strict=True):
                seconds.append(pass_ms(package, session, inputs))
        rows.append(
            {
                "model": package.manifest.name,
                "together_ms": spread(taken[0]),
                "apart_ms": spread(taken[1]),
                "ratio": spread([a / b for a, b in zip(*taken, strict=True)]),
            }
        )
    return rows


def pass_ms(package: Package, session: Session, inputs: list[Input]) -> float:
    """Milliseconds a text."""
    encoded = package.encoder.encode(inputs, long=package.head.long)
    start = time.thread_time()
    for text in encoded:
        package.run_windows(text.windows, session)
    return 1000 * (time.thread_time() - start) / len(encoded)


if __name__ == "__main__":
    main()
