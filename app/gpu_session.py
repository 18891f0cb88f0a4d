"""Graphs on a GPU: batches of few shapes, each with memory on the device that is used again."""

import itertools
import threading
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import Arrays
from app.contract.pipeline import Package
from app.engine import CPU, TENSORRT, onnxruntime, provider_options
from app.sessions import Graph, open_graph, shapes_of_traffic
from app.settings import Settings

LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192)
"""Tokens a row; multiples of 8, and few."""
NO_GRAPH = -1
"""Tells the engine neither to capture nor to replay a CUDA graph."""


class GpuSession:
    """One graph on a GPU; many threads may call at once, each with memory of its own.

    Rows and lengths are padded to few shapes, so that the engine's memory stops growing. Inputs and
    outputs of a shape stay on the device, at addresses that never change, as CUDA graphs need. With
    these, one call runs at a time, which is what the engine demands.
    """

    runtime = "onnxruntime"

    def __init__(self, package: Package, settings: Settings, *, provider: str) -> None:
        """Load the fp16 graph of a package, or the only one if it has none.

        Args:
            package: verified.
            settings: memory, CUDA graphs, cache of TensorRT, bounds of a batch.
            provider: see `app.engine.choose_provider`.

        Raises:
            PackageError: not a graph that this service can feed and read, or not on the GPU.
        """
        path = package.half_path or package.model_path
        self.arithmetic: str | None = "fp16" if package.half_path else None
        longest = package.manifest.encoder.max_tokens
        self._lengths = (*(length for length in LENGTHS if length < longest), longest)
        self.shapes = sorted(
            {
                (_rows(rows), length)
                for rows, length in shapes_of_traffic(
                    self._lengths,
                    max_tokens=longest,
                    **settings.batch_bounds(on_gpu=True),
                )
            }
        )
        """Rows and lengths of single windows and full batches."""
        options = provider_options(
            provider,
            memory_mb=settings.gpu_memory_mb,
            cuda_graphs=settings.cuda_graphs,
            tensorrt=self._tensorrt(package, path, settings) if provider == TENSORRT else None,
        )
        self._graph = open_graph(path, options)
        self._device = "cpu" if provider == CPU else "cuda"
        self._turn = threading.Lock() if settings.cuda_graphs else nullcontext()
        self._idle: dict[tuple[int, int], list[_Buffers]] = {}
        self._ids = itertools.count() if settings.cuda_graphs else itertools.repeat(NO_GRAPH)
        self.provider = self._graph.provider
        self.widths = self._graph.widths

    def __call__(self, arrays: Arrays) -> Mapping[str, NDArray[np.generic]]:
        """Run one batch (a `Runner`).

        Args:
            arrays: shape (rows, longest) or (rows, longest, bytes).

        Returns:
            Every output of the graph; with the padded rows and tokens.
        """
        rows, length = next(iter(arrays.values())).shape[:2]
        shape = _rows(rows), self._lengths[bisect_left(self._lengths, length)]
        feed = {name: _padded(arrays[name], *shape) for name in self._graph.inputs}
        idle = self._idle.setdefault(shape, [])
        with self._turn:
            try:
                buffers = idle.pop()  # appending and popping are atomic
            except IndexError:
                buffers = _Buffers(self._graph, feed, device=self._device, graph_id=next(self._ids))
            try:
                return buffers.run(feed)
            finally:
                idle.append(buffers)

    def _tensorrt(self, package: Package, path: Path, settings: Settings) -> dict[str, str]:
        """Options: one engine for all shapes, built at warm-up; kept where a folder is named."""
        inputs = open_graph(package.model_path, provider_options(CPU)).inputs
        most = max(rows for rows, _ in self.shapes)
        usual = self._lengths[len(self._lengths) // 2]
        shapes = {
            "min": (1, self._lengths[0]),
            "opt": (max(1, most // 2), usual),
            "max": (most, self._lengths[-1]),
        }
        options = {"trt_fp16_enable": str(int(self.arithmetic == "fp16"))}
        for name, shape in shapes.items():
            arrays = package.encoder.blank(*shape)
            sizes = (f"{key}:{'x'.join(map(str, arrays[key].shape))}" for key in sorted(inputs))
            options[f"trt_profile_{name}_shapes"] = ",".join(sizes)
        if settings.tensorrt_cache:
            folder = str(settings.tensorrt_cache)
            options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}
            # The engine holds weights; TensorRT's own name for it tells graphs apart, not weights.
            options["trt_engine_cache_prefix"] = package.manifest.files[path.name]
        return options


class _Buffers:
    """Memory on the device for batches of one shape."""

    def __init__(self, graph: Graph, arrays: Arrays, *, device: str, graph_id: int) -> None:
        self._graph = graph
        self._binding = graph.session.io_binding()
        self._inputs = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(array.copy(), device, 0)
            for name, array in arrays.items()
        }
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name in graph.outputs:
            self._binding.bind_output(name, device)
        graph.session.run_with_iobinding(self._binding, _run_options(NO_GRAPH))
        # The engine has made the outputs; from now on it writes into them.
        self._outputs = dict(zip(graph.outputs, self._binding.get_outputs(), strict=True))
        self._binding.clear_binding_outputs()
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        self._options = _run_options(graph_id)

    def run(self, arrays: Arrays) -> Mapping[str, NDArray[np.generic]]:
        """Every output, copied from the device."""
        for name, value in self._inputs.items():
            value.update_inplace(arrays[name])
        self._graph.session.run_with_iobinding(self._binding, self._options)
        return {name: np.array(value.numpy()) for name, value in self._outputs.items()}


def _run_options(graph_id: int) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options


def _rows(rows: int) -> int:
    """The next power of two."""
    return 1 << (rows - 1).bit_length()


def _padded(array: NDArray[np.generic], rows: int, length: int) -> NDArray[np.generic]:
    """Zeros behind each row, then the first row again: rows of nothing but padding have no mean."""
    wider = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    padded = np.pad(array, wider)
    return np.concatenate([padded, np.repeat(padded[:1], rows - len(array), axis=0)])
