"""Every model of the store in process, as `python -m app bench` times it.

Writes results/bench.json and RESULTS.md.
"""

import argparse
import json
import subprocess
import sys

from loadtests.report import record
from loadtests.servers import loyal_environment


def main() -> None:
    args = parse_arguments()
    sizes = {name: list(map(str, getattr(args, name))) for name in ("batches", "lengths")}
    command = [sys.executable, "-m", "app", "bench", "--json", "--seconds", str(args.seconds)]
    for name, values in sizes.items():
        command += [f"--{name}", *values]
    done = subprocess.run(
        command, env=loyal_environment(args.model_store), stdout=subprocess.PIPE, check=False
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if not rows:
        sys.exit(f"{args.model_store}: nothing was measured")
    print(record("bench", {"seconds": args.seconds, "rows": rows}))
    sys.exit(done.returncode)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_store",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m loadtests.bench_store --batches 8 --lengths 64",
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32], help="rows")
    parser.add_argument("--lengths", nargs="+", type=int, default=[32, 128], help="tokens of a row")
    parser.add_argument("--seconds", type=float, default=8.0, help="for a model on an engine")
    parser.add_argument("--model-store", default="model_store", help="folder of the packages")
    return parser.parse_args()


if __name__ == "__main__":
    main()
