"""ONNX sessions: options, inputs, warm-up."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import Arrays
from app.contract.errors import PackageError
from app.contract.pipeline import Runner
from app.engine import CPU, choose_provider, onnxruntime, provider_options

KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "features"})
"""Of the encoders: subwords, and projected words."""
GPU_THREADS = 2
"""While one batch is computed, the next is brought to the GPU."""
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


def usable_threads(provider: str) -> int:
    """Threads that run models by default: one a core; for a GPU one more than runs at a time."""
    return usable_cores() if provider == CPU else min(GPU_THREADS, usable_cores())


def _quota(*files: Path) -> int | None:
    """Cores from "quota period" (one file in cgroup v2, two in v1); None without a limit."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return -(-int(quota) // int(period)) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None


@cache
def share_memory() -> None:
    """Let all sessions take the memory of their calls from one arena instead of one each."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # No bound, and the engine's own way to grow: as without sharing.
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, -1, -1, -1))


@dataclass(frozen=True, slots=True)
class Graph:
    """A loaded graph.

    Attributes:
        session: that runs it.
        provider: hardware that does.
        inputs: that it reads.
        outputs: that it gives.
        widths: last dimension of each output; None if the graph leaves it open.
    """

    session: onnxruntime.InferenceSession
    provider: str
    inputs: frozenset[str]
    outputs: tuple[str, ...]
    widths: dict[str, int | None]


def open_graph(
    path: Path,
    providers: Sequence[tuple[str, Mapping[str, str]]],
    *,
    known_inputs: Collection[str] = KNOWN_INPUTS,
    plan_memory: bool = True,
) -> Graph:
    """Load a graph.

    Args:
        path: of the .onnx file.
        providers: with their options, first choice first.
        known_inputs: that it may have.
        plan_memory: whether to keep a plan for each shape of batch, one block of the arena each.

    Raises:
        PackageError: not a graph that this service can feed and read, or not with the first choice.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without integer dot products (VNNI) x86 adds products of 8 bits in 16, which overflow.
    options.add_session_config_entry("session.x64quantprecision", "1")
    # Weights stay out of the shared arena, so that unloading a model gives them back.
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.log_severity_level = 3
    options.enable_mem_pattern = plan_memory
    share_memory()
    try:
        session = onnxruntime.InferenceSession(
            path, options, providers=list(providers), enable_fallback=0
        )
    except Exception as error:  # onnxruntime has no public base class of its exceptions
        raise PackageError(
            f"{path.name} is not a graph that onnxruntime {onnxruntime.__version__} can load with "
            f"{providers[0][0]} ({type(error).__name__})"
        ) from error
    wanted, provider = providers[0][0], session.get_providers()[0]
    if provider != wanted:
        raise PackageError(
            f"{path.name}: {wanted} was left out by the engine, whose reason is on standard error"
        )
    inputs = frozenset(node.name for node in session.get_inputs())
    odd = inputs.difference(known_inputs)
    if odd:
        raise PackageError(f"{path.name} wants inputs that are unknown here: {sorted(odd)}")
    last = {node.name: node.shape[-1] if node.shape else None for node in session.get_outputs()}
    widths = {name: width if isinstance(width, int) else None for name, width in last.items()}
    return Graph(session, provider, inputs, tuple(last), widths)


class OnnxSession:
    """One graph; calls run on the caller's thread, and many threads may call at once.

    Throughput comes from running batches next to each other, one core each: small batches gain
    little from splitting one operator over cores.
    """

    runtime = "onnxruntime"
    arithmetic: str | None = None

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "auto",
        known_inputs: Collection[str] = KNOWN_INPUTS,
        plan_memory: bool = True,
    ) -> None:
        """Load a graph.

        Args:
            path: of the .onnx file.
            provider: as LOYAL_PROVIDER.
            known_inputs: that it may have.
            plan_memory: see `open_graph`.

        Raises:
            PackageError: not a graph that this service can feed and read.
            StartupError: the provider cannot be had.
        """
        options = provider_options(choose_provider(provider))
        self._graph = open_graph(path, options, known_inputs=known_inputs, plan_memory=plan_memory)
        self.provider = self._graph.provider
        self.widths = self._graph.widths

    def __call__(self, arrays: Arrays) -> Mapping[str, NDArray[np.generic]]:
        """Run one batch (a `Runner`).

        Args:
            arrays: shape (rows, longest) or (rows, longest, bytes); those that the graph does not
                read are left out.

        Returns:
            Every output of the graph.
        """
        graph = self._graph
        feed = {name: array for name, array in arrays.items() if name in graph.inputs}
        return dict(zip(graph.outputs, graph.session.run(graph.outputs, feed), strict=True))


def warm_up(
    run: Runner, blank: Callable[[int, int], Arrays], shapes: Iterable[tuple[int, int]]
) -> None:
    """Run the batch shapes of traffic once, so that no request pays for first allocations.

    Args:
        run: the graph.
        blank: rows and their length -> a batch of that shape.
        shapes: rows and their length.
    """
    for rows, length in shapes:
        run(blank(rows, length))


def shapes_of_traffic(
    lengths: Iterable[int], *, max_tokens: int, max_batch_tokens: int, max_batch_items: int
) -> list[tuple[int, int]]:
    """Single windows and full batches of some lengths.

    Args:
        lengths: that occur; those above `max_tokens` are left out, and it is added.
        max_tokens: longest window.
        max_batch_tokens: of a batch, padding included.
        max_batch_items: windows of a batch.
    """
    within = sorted({*(n for n in lengths if n < max_tokens), max_tokens})
    full = {n: max(1, min(max_batch_items, max_batch_tokens // n)) for n in within}
    return [(rows, n) for n in within for rows in sorted({1, full[n]})]
