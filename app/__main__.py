"""Command line: `serve` the models of a store, `check` and `bench` packages, `hash-key`."""

import argparse
import getpass
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from app import keys, logs
from app.errors import StartupError
from app.settings import PREFIX, Settings, read_settings

logger = logging.getLogger(__name__)

OK, FAILED, USAGE = 0, 1, 2

T = TypeVar("T", int, float)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 ok, 1 failed, 2 wrong usage or settings.
    """
    # Read when tokenizers makes its first batch; batches run on threads of ours.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    options = _parser().parse_args(arguments)
    try:
        if options.command == "hash-key":
            return _hash_key(options.name, is_new=options.new)
        flags = {"host", "port", "model_store"} & vars(options).keys()
        settings = read_settings({name: getattr(options, name) for name in flags})
        if options.command == "check":
            return _check(settings, options.package)
        if options.command == "bench":
            return _bench(settings, options)
        return _print(settings) if options.print_config else _serve(settings)
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _serve(settings: Settings) -> int:
    from app.server import serve  # imports onnxruntime, which may be missing

    serve(settings)
    return OK


def _print(settings: Settings) -> int:
    """The effective settings as JSON; key files are named, what is in them stays there."""
    values = settings.model_dump(mode="json")
    print(json.dumps({PREFIX + name.upper(): value for name, value in values.items()}, indent=2))
    return OK


def _hash_key(name: str, *, is_new: bool) -> int:
    """Print a line for a key file; the key itself never is an argument, which others can see."""
    if is_new:
        secret = keys.new_secret()
        print(f"key, shown only now: {secret}", file=sys.stderr)
    elif sys.stdin.isatty():
        secret = getpass.getpass("key: ")
    else:
        secret = sys.stdin.readline().strip()
    try:
        print(keys.key_line(name, secret))
    except ValueError as error:
        raise StartupError(str(error), exit_code=USAGE) from error
    return OK


def _check(settings: Settings, packages: Sequence[Path]) -> int:
    """Load packages as the service would; one JSON line each."""
    logs.configure(settings.log_level, sys.stderr)
    is_ok = True
    for path in _packages(settings, packages):
        result = _check_package(path, settings)
        print(json.dumps(result), flush=True)
        is_ok = is_ok and bool(result["ok"])
    return OK if is_ok else FAILED


def _packages(settings: Settings, named: Sequence[Path]) -> list[Path]:
    """The folders that were named; all of the store if none was."""
    from app.store import scan
    from app.tasks import TASKS

    stored = (
        path
        for shelf in scan(settings.model_store, TASKS)
        for versions in shelf.packages.values()
        for path in versions.values()
    )
    return [path.resolve() for path in named or stored]


def _bench(settings: Settings, options: argparse.Namespace) -> int:
    """Time packages; a table, or one JSON line a row."""
    from app.bench import Plan, bench, engines_here, table
    from app.contract.errors import PackageError

    logs.configure(settings.log_level, sys.stderr)
    plan = Plan(tuple(options.batches), tuple(options.lengths), options.seconds)
    engines = engines_here(options.engines)
    rows, is_ok = [], True
    for found in bench(_packages(settings, options.package), settings, plan, engines):
        if isinstance(found, PackageError):
            print(f"error: {found}", file=sys.stderr)
            is_ok = False
            continue
        rows += found
        for row in found if options.json else ():
            print(json.dumps(asdict(row)), flush=True)
    if not options.json:
        print(table(rows))
    return OK if is_ok else FAILED


def _check_package(path: Path, settings: Settings) -> dict[str, object]:
    from app.contract.errors import PackageError
    from app.contract.golden import read_golden
    from app.contract.pipeline import predict
    from app.loading import load_package
    from app.sessions import usable_cores

    name = "/".join(path.parts[-3:])
    start = time.monotonic()
    try:
        package, engine = load_package(path, settings, threads=settings.threads or usable_cores())
        loaded = time.monotonic()
        inputs = [example.contract_input for example in read_golden(path).examples]
        predict(package, engine.session, inputs)
    except PackageError as error:
        return {"package": name, "ok": False, "reason": str(error)}
    except Exception as error:
        logger.exception("check_failed", extra={"model": name})
        reason = f"unexpected {type(error).__name__} while loading; see the log"
        return {"package": name, "ok": False, "reason": reason}
    return {
        "package": package.manifest.name,
        "ok": True,
        "runtime": engine.session.runtime,
        "provider": engine.session.provider,
        "load_ms": round((loaded - start) * 1000),
        "batch_items": len(inputs),
        "batch_ms": round((time.monotonic() - loaded) * 1000),
    }


def _parser() -> argparse.ArgumentParser:
    defaults = Settings.model_fields
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve small language models. Every LOYAL_* variable is a setting; "
        "a flag wins over its variable.",
        epilog="example: python -m app serve --port 8080",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve the models of a store over HTTP",
        epilog="example: LOYAL_THREADS=2 python -m app serve --model-store model_store",
    )
    check = commands.add_parser(
        "check",
        help="load packages, replay their golden examples, run one batch",
        epilog="example: python -m app check model_store/ner/teacher-ro/4",
    )
    check.add_argument("package", type=Path, nargs="*", help="folders; all of the store if none")
    bench = commands.add_parser(
        "bench",
        help="time packages without HTTP: latency, throughput and memory by engine and shape",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m app bench --batches 1 8 --lengths 32 --seconds 2 --json",
    )
    bench.add_argument("package", type=Path, nargs="*", help="folders; all of the store if none")
    bench.add_argument("--batches", type=_positive(int), nargs="+", default=[1, 8, 32], help="rows")
    bench.add_argument(
        "--lengths", type=_positive(int), nargs="+", default=[16, 64, 128], help="tokens of a row"
    )
    bench.add_argument(
        "--seconds",
        type=_positive(float),
        default=9.0,
        help="for each model and engine, but loading",
    )
    bench.add_argument(
        "--engines",
        nargs="+",
        choices=["onnxruntime", "openvino", "cuda", "tensorrt"],
        default=[],
        help="those that run; if none, all that can be had but tensorrt",
    )
    bench.add_argument("--json", action="store_true", help="a JSON object a row, not a table")
    hash_key = commands.add_parser(
        "hash-key",
        help="read a key from standard input and print its line for a key file",
        epilog="example: python -m app hash-key alice --new >> keys.txt",
    )
    hash_key.add_argument("name", help="whose key it is; shown in logs")
    hash_key.add_argument("--new", action="store_true", help="make a key and print it on stderr")
    serve.add_argument(
        "--print-config", action="store_true", help="print the effective settings and stop"
    )
    serve.add_argument("--host", help=f"address to listen on (default {defaults['host'].default})")
    serve.add_argument("--port", help=f"TCP port (default {defaults['port'].default})")
    for command in (serve, check, bench):
        command.add_argument(
            "--model-store", help=f"folder (default {defaults['model_store'].default})"
        )
    return parser


def _positive(kind: Callable[[str], T]) -> Callable[[str], T]:
    """A number above 0."""

    def parse(text: str) -> T:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"must be above 0 and finite, got {text}")
        return value

    parse.__name__ = kind.__name__  # argparse calls it so
    return parse


if __name__ == "__main__":
    sys.exit(main())
