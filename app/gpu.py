"""Is there a GPU? The NVIDIA driver knows; a CUDA build of the engine says nothing about it."""

import ctypes
import sys

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def gpu_fault(driver: str = DRIVER, *, needed: str = "") -> str | None:
    """Why no GPU can be used; None if one can. Heeds CUDA_VISIBLE_DEVICES, as the engine does.

    Args:
        driver: name of its library.
        needed: version of CUDA that the engine was built for, as "13.0"; "" for any.
    """
    try:
        library = ctypes.CDLL(driver)
    except OSError:
        return f"no NVIDIA driver is here ({driver} cannot be loaded); containers need `--gpus all`"
    known, count = ctypes.c_int(0), ctypes.c_int(0)
    major = int(needed.partition(".")[0] or 0)
    # 13020 is CUDA 13.2.
    if library.cuDriverGetVersion(ctypes.byref(known)) != 0 or known.value < major * 1000:
        return (
            f"the NVIDIA driver knows CUDA {known.value // 1000}, this onnxruntime needs {major}: "
            "update the driver"
        )
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return "the NVIDIA driver finds no usable GPU; see `nvidia-smi`"
    return None if count.value > 0 else "the NVIDIA driver shows no GPU; see CUDA_VISIBLE_DEVICES"
