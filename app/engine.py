"""The engine onnxruntime: its import, and the hardware that it can use here. Its only import.

A CPU wheel and a GPU wheel exist, and each way to be left with half of one is told apart.
"""

import contextlib
import ctypes
import io
import logging
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from app.errors import StartupError
from app.gpu import gpu_fault

WHEELS = ("onnxruntime", "onnxruntime-gpu")
"""Which both own the folder `onnxruntime/`."""


def wheel_fault(wheels: Sequence[str] = WHEELS) -> str | None:
    """Why the engine cannot be relied on; None if at most one of the wheels is installed."""
    found = []
    for wheel in wheels:
        with contextlib.suppress(PackageNotFoundError):
            version(wheel)
            found.append(wheel)
    if len(found) < 2:
        return None
    both = " and ".join(found)
    return (
        f"{both} are both installed and overwrite each other: `pip uninstall {' '.join(found)}`, "
        "then install the extra `cpu` or `gpu`, not both (README.md, On a GPU)"
    )


if _fault := wheel_fault():
    raise StartupError(_fault)
# From its import on the engine would report to its maker: process, models, times, errors.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
try:
    import onnxruntime as onnxruntime  # for others to take from here

    onnxruntime.InferenceSession  # noqa: B018 - what is left after one of two wheels was removed
except (ImportError, AttributeError) as error:
    raise StartupError(
        f"onnxruntime cannot be imported ({error}); in the project's folder, "
        "`pip install --constraint constraints.txt '.[cpu]'` installs it, or '.[gpu]'; if pip says "
        "that it is there, `pip install --force-reinstall onnxruntime`, or onnxruntime-gpu"
    ) from error

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
LIBRARIES = {
    CUDA: "libonnxruntime_providers_cuda.so",
    TENSORRT: "libonnxruntime_providers_tensorrt.so",
}
"""That the engine loads when it is asked for a provider; their own needs may be missing."""


def choose_provider(wanted: str) -> str:
    """The execution provider for LOYAL_PROVIDER.

    Raises:
        StartupError: what is wanted cannot be had, and why.
    """
    if wanted == "cpu":
        return CPU
    provider = TENSORRT if wanted == "tensorrt" else CUDA
    fault = _provider_fault(provider)
    if fault is None:
        return provider
    if wanted != "auto":
        raise StartupError(
            f"LOYAL_PROVIDER is {wanted}, but {fault}; mend it, or set LOYAL_PROVIDER=cpu"
        )
    if provider in onnxruntime.get_available_providers():
        _warn(fault)
    return CPU


@cache
def _warn(reason: str) -> None:
    """Once, however many models load."""
    logger.warning("gpu_left_out", extra={"reason": reason})


@cache
def _provider_fault(provider: str) -> str | None:
    """Why a provider of the GPU cannot be used; None if it can."""
    if provider not in onnxruntime.get_available_providers():
        return "this onnxruntime has no CUDA provider: install the extra `gpu` instead of `cpu`"
    return gpu_fault(needed=onnxruntime.cuda_version) or _library_fault(provider)


def _library_fault(provider: str) -> str | None:
    """Which library of CUDA, cuDNN or TensorRT is missing; the engine would fall back silently."""
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()  # those that pip installed, which no loader's path names
    folder = Path(onnxruntime.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / LIBRARIES[provider]))
    except OSError as error:
        if provider == TENSORRT and _library_fault(CUDA) is None:
            return (
                f"TensorRT cannot be loaded ({error}); `pip install tensorrt-cu13` and put its "
                "folder on LD_LIBRARY_PATH, or set LOYAL_PROVIDER=cuda"
            )
        return f"a CUDA library cannot be loaded ({error}); the extra `gpu` brings those that fit"
    return None


def provider_options(
    provider: str,
    *,
    memory_mb: int = 0,
    cuda_graphs: bool = False,
    tensorrt: Mapping[str, str] | None = None,
) -> list[tuple[str, dict[str, str]]]:
    """The providers of a session with their options, first choice first.

    Args:
        provider: see `choose_provider`.
        memory_mb: bound of what the calls of a session take on a GPU, MiB; 0 for none.
        cuda_graphs: record and replay the kernels.
        tensorrt: its further options.
    """
    if provider == CPU:
        return [(CPU, {})]
    cuda = {
        # Grown to what a batch needs, not to the next power of two.
        "arena_extend_strategy": "kSameAsRequested",
        # What is called fp32 is fp32: TF32 has 11 bits.
        "use_tf32": "0",
        "enable_cuda_graph": str(int(cuda_graphs)),
    }
    if memory_mb:
        cuda["gpu_mem_limit"] = str(memory_mb * 2**20)
    if provider == CUDA:
        return [(CUDA, cuda), (CPU, {})]
    options = {"trt_cuda_graph_enable": str(int(cuda_graphs)), **(tensorrt or {})}
    return [(TENSORRT, options), (CUDA, cuda), (CPU, {})]
