"""Each way to have half of what a GPU needs, at the boundary of the engine and its libraries."""

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import engine
from app.engine import CPU, CUDA, TENSORRT, choose_provider, provider_options, wheel_fault
from app.errors import StartupError
from app.gpu import gpu_fault
from tests.app.process import ROOT, environment

GPU_WHEEL = [TENSORRT, CUDA, CPU]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    for remembered in (engine._provider_fault, engine._warn):
        remembered.cache_clear()
    yield
    engine._provider_fault.cache_clear()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with these providers in its wheel, this driver, and without these libraries."""

    def make(providers: list[str], *, gpu: str | None = None, missing: str = "") -> None:
        def load(name: str, mode: int = 0) -> None:
            if missing and missing in name:
                raise OSError(f"lib{missing}.so.13: cannot open shared object file")

        fake = SimpleNamespace(
            get_available_providers=lambda: providers,
            preload_dlls=lambda: sys.stdout.write("Failed to load libcudart.so.13"),
            cuda_version="13.0",
            __file__="/wheel/onnxruntime/__init__.py",
        )
        monkeypatch.setattr(engine, "onnxruntime", fake)
        monkeypatch.setattr(engine, "gpu_fault", lambda *, needed: gpu)
        monkeypatch.setattr(engine, "ctypes", SimpleNamespace(CDLL=load, RTLD_GLOBAL=256))

    return make


@pytest.mark.parametrize(
    ("wanted", "chosen"), [("auto", CUDA), ("cuda", CUDA), ("tensorrt", TENSORRT), ("cpu", CPU)]
)
def test_complete_gpu_is_used_as_wanted(
    machine: Callable[..., None], wanted: str, chosen: str, capfd: pytest.CaptureFixture[str]
) -> None:
    machine(GPU_WHEEL)

    assert choose_provider(wanted) == chosen
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("wanted", "parts", "named"),
    [
        ("cuda", {"providers": [CPU]}, "install the extra `gpu` instead of `cpu`"),
        ("tensorrt", {"providers": [CPU]}, "install the extra `gpu` instead of `cpu`"),
        ("cuda", {"providers": GPU_WHEEL, "gpu": "no NVIDIA driver is here"}, "no NVIDIA driver"),
        ("cuda", {"providers": GPU_WHEEL, "missing": "_cuda"}, "CUDA library cannot be loaded"),
        ("tensorrt", {"providers": GPU_WHEEL, "missing": "_tensorrt"}, "TensorRT cannot be loaded"),
        ("tensorrt", {"providers": GPU_WHEEL, "missing": "providers"}, "CUDA library"),
    ],
    ids=["CPU wheel", "CPU wheel, TensorRT", "no GPU", "no CUDA", "no TensorRT", "neither"],
)
def test_half_a_gpu_is_refused_with_what_is_missing(
    machine: Callable[..., None], wanted: str, parts: dict[str, object], named: str
) -> None:
    machine(**parts)

    with pytest.raises(StartupError, match=f"LOYAL_PROVIDER is {wanted}, but .*{named}") as caught:
        choose_provider(wanted)

    assert len(str(caught.value).splitlines()) == 1
    assert choose_provider("auto") in (CPU, CUDA)


def test_gpu_that_auto_leaves_out_is_a_warning(
    machine: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    machine(GPU_WHEEL, missing="_cuda")

    assert [choose_provider("auto") for _ in range(2)] == [CPU, CPU]
    [line] = [vars(r) for r in caplog.records if r.getMessage() == "gpu_left_out"]
    assert "lib_cuda.so.13" in line["reason"]


def test_cpu_wheel_on_a_cpu_is_no_warning(
    machine: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    machine([CPU])

    assert choose_provider("auto") == CPU
    assert caplog.records == []


def test_both_wheels_are_told_apart_from_one() -> None:
    assert wheel_fault() is None
    fault = wheel_fault(["numpy", "pytest", "not-installed"])

    assert fault
    assert "pip uninstall numpy pytest" in fault


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (
            "import importlib.metadata as m; m.version = lambda name: '1.31.1'; ",
            "onnxruntime and onnxruntime-gpu are both installed",
        ),
        (
            "import sys, types; sys.modules['onnxruntime'] = types.ModuleType('onnxruntime'); ",
            "has no attribute 'InferenceSession'",
        ),
    ],
    ids=["both wheels", "one of both removed"],
)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_broken_wheels_are_one_clear_line(store: Path, code: str, named: str, command: str) -> None:
    code += f"import sys; from app.__main__ import main; sys.exit(main([{command!r}]))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(model_store=store, port=0),
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert named in line


class Driver:
    """libcuda as far as we ask it."""

    def __init__(self, *, version: int = 13000, count: int = 1, works: bool = True) -> None:
        self._version, self._count, self._works = version, count, works

    def cuDriverGetVersion(self, found: object) -> int:
        found._obj.value = self._version  # type: ignore[attr-defined]
        return 0

    def cuInit(self, flags: int) -> int:
        return 0 if self._works else 100

    def cuDeviceGetCount(self, found: object) -> int:
        found._obj.value = self._count  # type: ignore[attr-defined]
        return 0


@pytest.mark.parametrize(
    ("driver", "named"),
    [
        (Driver(), None),
        (Driver(version=12040), "knows CUDA 12, this onnxruntime needs 13"),
        (Driver(works=False), "finds no usable GPU"),
        (Driver(count=0), "shows no GPU; see CUDA_VISIBLE_DEVICES"),
    ],
    ids=["fits", "too old", "broken", "none visible"],
)
def test_driver_says_why_no_gpu_can_be_used(
    driver: Driver, named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)

    fault = gpu_fault(needed="13.0")

    assert (fault is None) if named is None else named in (fault or "")


def test_missing_driver_is_why_no_gpu_can_be_used() -> None:
    assert "libno-gpu.so cannot be loaded" in (gpu_fault("libno-gpu.so") or "")


def test_options_of_a_gpu_bound_its_memory() -> None:
    [(name, cuda), last] = provider_options(CUDA, memory_mb=512)

    assert (name, last) == (CUDA, (CPU, {}))
    assert json.loads(cuda["gpu_mem_limit"]) == 512 * 2**20
    assert cuda["arena_extend_strategy"] == "kSameAsRequested"
    assert cuda["enable_cuda_graph"] == "0"


def test_tensorrt_has_cuda_behind_it() -> None:
    options = provider_options(TENSORRT, cuda_graphs=True, tensorrt={"trt_fp16_enable": "1"})

    assert [name for name, _ in options] == [TENSORRT, CUDA, CPU]
    assert options[0][1] == {"trt_cuda_graph_enable": "1", "trt_fp16_enable": "1"}
    assert "gpu_mem_limit" not in options[1][1]
