"""Which engine runs a model: onnxruntime, or OpenVINO where it was asked for or measured faster."""

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.batch_policy import take_batch
from app.contract.encoded_text import Arrays, Window
from app.contract.errors import PackageError
from app.contract.golden import read_golden, replay, tolerance_of
from app.contract.pipeline import Package, check_outputs
from app.engine import CPU, choose_provider
from app.errors import StartupError
from app.gpu_session import GpuSession
from app.openvino_session import OpenVinoSession
from app.sessions import WARM_UP_LENGTHS, shapes_of_traffic, warm_up
from app.settings import Settings
from app.trunks import Trunks

logger = logging.getLogger(__name__)

MEASURED_TOKENS = 512
"""Of the golden examples, which have the lengths of traffic; about half a full batch."""

ROUNDS = 3
"""Of a measurement that decides; the median counts."""

CLEARLY_FASTER = 0.9
"""Share of the other's time that something must stay under to replace it; the rest is noise."""


class Session(Protocol):
    """A loaded graph.

    Attributes:
        runtime: the engine.
        provider: the hardware, as the engine calls it.
        arithmetic: precision of its numbers; None if it is the package's.
    """

    runtime: str
    provider: str
    arithmetic: str | None

    def __call__(self, arrays: Arrays) -> Mapping[str, NDArray[np.generic]]:
        """Run one batch (a `Runner`)."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A session that has replayed the golden examples and is warm.

    Attributes:
        session: runs batches.
        seconds_per_token: core time, measured.
    """

    session: Session
    seconds_per_token: float


def open_engine(package: Package, settings: Settings, *, trunks: Trunks, threads: int) -> Engine:
    """Load the graph into the engine that the settings ask for, or into the faster one.

    Integer graphs stay on onnxruntime and the CPU: OpenVINO runs them slower than fp32, CUDA has no
    kernels for most of their nodes. So do models on a trunk, whose session is not theirs alone.

    Raises:
        PackageError: the model must not serve, and why.
    """
    is_float = package.manifest.precision == "fp32" and package.trunk_path is None
    is_candidate = settings.runtime != "onnxruntime" and is_float
    if settings.runtime == "openvino" and is_candidate:
        session = _open_openvino(package, settings, threads=threads)
        return Engine(session, _measure(package, [session], settings)[0])
    provider = choose_provider(settings.provider)
    if provider != CPU and (package.half_path or is_float):
        gpu = _open_gpu(package, settings, provider=provider)
        return Engine(gpu, _measure(package, [gpu], settings)[0])
    if provider != CPU:
        reason = "its graph is of integers, and the package has none in fp16"
        fields = {"model": package.manifest.name, "reason": reason}
        logger.warning("model_left_on_cpu", extra=fields)
    onnx = trunks.open(package)
    check_outputs(package.manifest, onnx.widths)
    replay(package, onnx)
    _warm_up(package, onnx, settings)
    if settings.runtime == "auto" and is_candidate:
        try:
            rival = _open_openvino(package, settings, threads=threads)
        except (PackageError, StartupError) as error:
            fields = {"model": package.manifest.name, "reason": str(error)}
            logger.warning("openvino_left_out", extra=fields)
        else:
            return _faster(package, onnx, rival, settings)
    return Engine(onnx, _measure(package, [onnx], settings)[0])


def batch_bounds(session: Session, settings: Settings) -> dict[str, int]:
    """`max_batch_tokens` and `max_batch_items` where a session runs."""
    return settings.batch_bounds(on_gpu=isinstance(session, GpuSession))


def measure(runs: Sequence[Callable[[], object]], *, rounds: int) -> list[float]:
    """Median seconds of each, taken in turns, so that a slow moment meets all of them."""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, taken in zip(runs, seconds, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def _open_gpu(package: Package, settings: Settings, *, provider: str) -> GpuSession:
    session = GpuSession(package, settings, provider=provider)
    check_outputs(package.manifest, session.widths)
    is_changed = session.arithmetic and package.manifest.precision == "fp32"
    tolerance = tolerance_of(package.head, "fp16") if is_changed else None
    replay(package, session, tolerance=tolerance)
    warm_up(session, package.encoder.blank, session.shapes)
    return session


def _open_openvino(package: Package, settings: Settings, *, threads: int) -> OpenVinoSession:
    session = OpenVinoSession(package.model_path, threads=threads)
    check_outputs(package.manifest, session.widths)
    arithmetic = session.arithmetic
    tolerance = tolerance_of(package.head, arithmetic) if arithmetic else None
    replay(package, session, tolerance=tolerance)
    _warm_up(package, session, settings)
    return session


def _faster(package: Package, onnx: Session, rival: OpenVinoSession, settings: Settings) -> Engine:
    onnx_s, rival_s = _measure(package, [onnx, rival], settings)
    is_faster = rival_s < CLEARLY_FASTER * onnx_s
    fields = {
        "model": package.manifest.name,
        "runtime": rival.runtime if is_faster else onnx.runtime,
        "onnxruntime_us_per_token": round(onnx_s * 1e6, 1),
        "openvino_us_per_token": round(rival_s * 1e6, 1),
        "reason": f"openvino takes {rival_s / onnx_s:.2f} of onnxruntime's time; "
        f"below {CLEARLY_FASTER} it is taken",
    }
    logger.info("runtime_chosen", extra=fields)
    return Engine(rival, rival_s) if is_faster else Engine(onnx, onnx_s)


def _measure(package: Package, sessions: Sequence[Session], settings: Settings) -> list[float]:
    """Core seconds per token of each session."""
    batches = _traffic(package, batch_bounds(sessions[0], settings))

    def run_all(session: Session) -> None:
        for batch in batches:
            package.run_windows(batch, session)

    tokens = sum(window.num_tokens for batch in batches for window in batch)
    runs = [lambda session=session: run_all(session) for session in sessions]
    # Without a choice to make, a first guess of the speed is enough; traffic corrects it.
    rounds = ROUNDS if settings.runtime == "auto" else 1
    return [seconds / tokens for seconds in measure(runs, rounds=rounds)]


def _traffic(package: Package, bounds: Mapping[str, int]) -> list[list[Window]]:
    """Batches of the golden examples, as the scheduler would form them."""
    inputs = [example.contract_input for example in read_golden(package.path).examples]
    waiting: list[Window] = []
    for encoded in package.encoder.encode(inputs, long=package.head.long):
        if sum(window.num_tokens for window in waiting) < MEASURED_TOKENS:
            waiting += encoded.windows
    batches = []
    while waiting:
        chosen = take_batch([window.num_tokens for window in waiting], **bounds)
        batches.append([waiting[position] for position in chosen])
        waiting = [window for at, window in enumerate(waiting) if at not in chosen]
    return batches


def _warm_up(package: Package, session: Session, settings: Settings) -> None:
    shapes = shapes_of_traffic(
        WARM_UP_LENGTHS,
        max_tokens=package.manifest.encoder.max_tokens,
        **settings.batch_bounds(on_gpu=False),
    )
    warm_up(session, package.encoder.blank, shapes)
