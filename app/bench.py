"""What models cost without HTTP, queue and texts: single calls by engine, batch and length."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from app.contract.errors import PackageError
from app.engine import CPU, choose_provider
from app.errors import StartupError
from app.loading import load_package
from app.memory import release_freed_memory, resident_bytes
from app.openvino_session import require_openvino
from app.settings import Settings

ENGINES: dict[str, dict[str, str]] = {
    "onnxruntime": {"runtime": "onnxruntime", "provider": "cpu"},
    "openvino": {"runtime": "openvino", "provider": "cpu"},
    "cuda": {"runtime": "onnxruntime", "provider": "cuda"},
    "tensorrt": {"runtime": "onnxruntime", "provider": "tensorrt"},
}
"""Name -> the settings that ask for it."""

MIN_RUNS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        batches: rows of a batch.
        lengths: tokens of a row; those above a model's longest window are left out.
        seconds: for all batches and lengths of one model on one engine, loading left aside.
    """

    batches: tuple[int, ...] = (1, 8, 32)
    lengths: tuple[int, ...] = (16, 64, 128)
    seconds: float = 9.0


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement.

    Attributes:
        model: `<task>/<model>:<version>`.
        runtime: engine.
        provider: hardware, as the engine calls it.
        precision: of its arithmetic.
        batch: rows.
        length: tokens of a row.
        runs: that were timed.
        p50_ms: of a run.
        p99_ms: of a run.
        texts_per_s: rows a second, over all runs.
        rss_mb: memory of a process with nothing but this model, after the runs.
        model_mb: by how much loading and running it have grown that.
    """

    model: str
    runtime: str
    provider: str
    precision: str
    batch: int
    length: int
    runs: int
    p50_ms: float
    p99_ms: float
    texts_per_s: float
    rss_mb: float
    model_mb: float


def engines_here(wanted: Sequence[str] = ()) -> list[str]:
    """The engines that can be had.

    Args:
        wanted: names of ENGINES; without any, all but TensorRT, which takes minutes to build.

    Raises:
        StartupError: one that is wanted by name cannot be had.
    """
    found = []
    for name in wanted or [name for name in ENGINES if name != "tensorrt"]:
        try:
            choose_provider(ENGINES[name]["provider"])
            if name == "openvino":
                require_openvino()
        except StartupError:
            if wanted:
                raise
        else:
            found.append(name)
    return found


def bench(
    packages: Sequence[Path], settings: Settings, plan: Plan, engines: Sequence[str]
) -> Iterator[list[Row] | PackageError]:
    """Measure packages, each engine in a process of its own, so that memory is that model's alone.

    Yields:
        Of each package and engine the rows, none where the engine does not run such a graph; or why
        the package cannot be used.
    """
    context = multiprocessing.get_context("spawn")
    for path in packages:
        for engine in engines:
            changed = settings.model_copy(update=ENGINES[engine])
            with ProcessPoolExecutor(1, mp_context=context) as process:
                try:
                    yield process.submit(_bench, path, changed, plan).result()
                except PackageError as error:
                    yield error


def _bench(path: Path, settings: Settings, plan: Plan) -> list[Row]:
    before = resident_bytes()
    package, engine = load_package(path, settings, threads=1)
    session, manifest = engine.session, package.manifest
    is_wanted = session.runtime == settings.runtime
    if not is_wanted or (session.provider in (CPU, "CPU")) != (settings.provider == "cpu"):
        return []
    lengths = [n for n in plan.lengths if n <= manifest.encoder.max_tokens]
    lengths = lengths or [manifest.encoder.max_tokens]
    shapes = [(batch, length) for length in lengths for batch in plan.batches]
    timed = []
    for shape in shapes:
        arrays = package.encoder.blank(*shape)
        session(arrays)  # memory of this shape
        seconds: list[float] = []
        end = time.perf_counter() + plan.seconds / len(shapes)
        while len(seconds) < MIN_RUNS or time.perf_counter() < end:
            start = time.perf_counter()
            session(arrays)
            seconds.append(time.perf_counter() - start)
        timed.append(seconds)
    release_freed_memory()
    rss = resident_bytes()
    return [
        Row(
            model=manifest.name,
            runtime=session.runtime,
            provider=session.provider,
            precision=session.arithmetic or manifest.precision,
            batch=batch,
            length=length,
            runs=len(seconds),
            p50_ms=round(float(np.percentile(seconds, 50)) * 1000, 3),
            p99_ms=round(float(np.percentile(seconds, 99)) * 1000, 3),
            texts_per_s=round(batch * len(seconds) / sum(seconds), 1),
            rss_mb=round(rss / 1e6, 1),
            model_mb=round((rss - before) / 1e6, 1),
        )
        for (batch, length), seconds in zip(shapes, timed, strict=True)
    ]


def table(rows: Sequence[Row]) -> str:
    """Rows under their names, in columns."""
    names = list(Row.__dataclass_fields__)
    lines = [names, *([str(value) for value in asdict(row).values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < NAMED else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


NAMED = 4
"""Columns with words; the others have numbers."""
