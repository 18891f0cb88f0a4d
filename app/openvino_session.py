"""ONNX graphs on OpenVINO, the optional runtime for CPUs. The only import of openvino, when asked.

Its bf16 arithmetic is what it is for: on a processor that has it, several times as fast as fp32.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import Arrays
from app.contract.errors import PackageError
from app.errors import StartupError


class OpenVinoSession:
    """One graph; as many threads as there are streams may call at once, one core each."""

    runtime = "openvino"
    provider = "CPU"

    def __init__(self, path: Path, *, threads: int) -> None:
        """Compile a graph.

        Args:
            path: of the .onnx file.
            threads: that will call at once.

        Raises:
            PackageError: not a graph that OpenVINO can compile.
            StartupError: OpenVINO is not installed.
        """
        openvino = _import_openvino()
        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.arithmetic: str | None = "bf16" if has_bf16 else None
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if has_bf16 else "f32",
            # A stream runs one call at a time, on one thread: all weights are shared.
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # Pinned threads of several models would all sit on the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._model = core.compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise PackageError(
                f"{path.name} is not a graph that OpenVINO {openvino.__version__} can compile"
            ) from error
        self._inputs = frozenset(port.get_any_name() for port in self._model.inputs)
        self._outputs = [port.get_any_name() for port in self._model.outputs]
        self.widths: dict[str, int | None] = {}
        for name, port in zip(self._outputs, self._model.outputs, strict=True):
            axes = list(port.get_partial_shape())
            self.widths[name] = axes[-1].get_length() if axes and axes[-1].is_static else None
        # A request holds the memory of one call; appending and popping are atomic.
        self._idle = [self._model.create_infer_request() for _ in range(threads)]

    def __call__(self, arrays: Arrays) -> Mapping[str, NDArray[np.generic]]:
        """Run one batch (a `Runner`); see `OnnxSession`."""
        feed = {name: array for name, array in arrays.items() if name in self._inputs}
        try:
            request = self._idle.pop()
        except IndexError:  # more threads call than were announced
            request = self._model.create_infer_request()
        try:
            found = request.infer(feed, share_inputs=True)
            # The request's own memory is overwritten by its next call.
            return {name: np.array(found[name]) for name in self._outputs}
        finally:
            self._idle.append(request)


def require_openvino() -> None:
    """Check that OpenVINO can be imported.

    Raises:
        StartupError: it cannot.
    """
    _import_openvino()


def _import_openvino() -> ModuleType:
    try:
        import openvino
    except ImportError as error:
        raise StartupError(
            f"OpenVINO cannot be imported ({error}); install it with "
            "`pip install --constraint constraints.txt '.[openvino]'` in the project's folder, or "
            "set LOYAL_RUNTIME=onnxruntime"
        ) from error
    module: ModuleType = openvino
    return module
