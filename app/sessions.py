"""ONNX sessions: options, provider, inputs, warm-up. The only import of onnxruntime."""

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import Arrays
from app.contract.errors import PackageError
from app.contract.pipeline import Runner
from app.errors import StartupError
from app.gpu import gpu_fault

# From its import on the engine would report to its maker: process, models, times, errors.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
try:
    import onnxruntime
except ImportError as error:
    raise StartupError(
        f"onnxruntime cannot be imported ({error}); install it with `pip install 'loyal[cpu]'`"
    ) from error

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "features"})
"""Of the encoders: subwords, and projected words."""
WARM_UP_LENGTHS = (8, 32, 128)
"""Tokens a row; the model's longest window is added."""


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may use: CPU affinity, and the container's quota rounded up.

    onnxruntime itself looks at neither.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(cgroup / "cpu.max") or _quota(
        cgroup / "cpu/cpu.cfs_quota_us", cgroup / "cpu/cpu.cfs_period_us"
    )
    return max(1, min(cores or 1, quota or 1024))


def _quota(*files: Path) -> int | None:
    """Cores from "quota period" (one file in cgroup v2, two in v1); None without a limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return -(-int(quota) // int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None


def choose_providers(wanted: str) -> list[str]:
    """The execution providers for LOYAL_PROVIDER, first choice first.

    Raises:
        StartupError: "cuda" is wanted and cannot be had.
    """
    if wanted == "cpu":
        return [CPU]
    if CUDA in onnxruntime.get_available_providers():
        fault = gpu_fault()
    else:
        fault = "this onnxruntime has no CUDA provider: install loyal[gpu] instead of loyal[cpu]"
    if fault is None:
        return [CUDA, CPU]
    if wanted == "cuda":
        raise StartupError(
            f"LOYAL_PROVIDER is cuda, but {fault}; mend it, or set LOYAL_PROVIDER=cpu"
        )
    return [CPU]


@cache
def share_memory() -> None:
    """Let all sessions take the memory of their calls from one arena instead of one each."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # No bound, and the engine's own way to grow: as without sharing.
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, -1, -1, -1))


class OnnxSession:
    """One graph; calls run on the caller's thread, and many threads may call at once.

    Throughput comes from running batches next to each other, one core each: small batches gain
    little from splitting one operator over cores.
    """

    runtime = "onnxruntime"
    arithmetic: str | None = None

    def __init__(self, path: Path, *, provider: str = "auto") -> None:
        """Load a graph.

        Args:
            path: of the .onnx file.
            provider: "auto", "cpu" or "cuda".

        Raises:
            PackageError: not a graph that this service can feed and read.
            StartupError: "cuda" is wanted and cannot be had.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Weights stay out of the shared arena, so that unloading a model gives them back.
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.log_severity_level = 3
        share_memory()
        providers = choose_providers(provider)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # onnxruntime has no public base class of its exceptions
            raise PackageError(
                f"{path.name} is not a graph that onnxruntime {onnxruntime.__version__} can load "
                f"({type(error).__name__})"
            ) from error
        self.provider: str = self._session.get_providers()[0]
        if provider == "cuda" and self.provider != CUDA:
            raise StartupError(
                "LOYAL_PROVIDER is cuda, but the session fell back to the CPU; the CUDA or cuDNN "
                "libraries are missing or of another version; loyal[gpu] brings those that fit"
            )
        self._inputs = frozenset(node.name for node in self._session.get_inputs())
        odd = self._inputs - KNOWN_INPUTS
        if odd:
            raise PackageError(f"{path.name} wants inputs that are unknown here: {sorted(odd)}")
        self._outputs = [node.name for node in self._session.get_outputs()]
        last = {n.name: n.shape[-1] if n.shape else None for n in self._session.get_outputs()}
        self.widths: dict[str, int | None] = {
            name: width if isinstance(width, int) else None for name, width in last.items()
        }

    def __call__(self, arrays: Arrays) -> Mapping[str, NDArray[np.generic]]:
        """Run one batch (a `Runner`).

        Args:
            arrays: shape (rows, longest) or (rows, longest, bytes); those that the graph does not
                read are left out.

        Returns:
            Every output of the graph.
        """
        feed = {name: array for name, array in arrays.items() if name in self._inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))


def warm_up(
    run: Runner,
    blank: Callable[[int, int], Arrays],
    *,
    max_tokens: int,
    max_batch_tokens: int,
    max_batch_items: int,
) -> None:
    """Run the batch shapes of traffic once, so that no request pays for first allocations.

    Args:
        run: the graph.
        blank: rows and their length -> a batch of that shape.
        max_tokens: longest window.
        max_batch_tokens: of a batch, padding included.
        max_batch_items: windows of a batch.
    """
    for length in {*(n for n in WARM_UP_LENGTHS if n < max_tokens), max_tokens}:
        for rows in {1, max(1, min(max_batch_items, max_batch_tokens // length))}:
            run(blank(rows, length))
