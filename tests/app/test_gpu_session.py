"""What runs on a GPU, on the CPU's provider: buffers, shapes and graphs are the same."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app import runtimes
from app.contract.errors import PackageError
from app.contract.manifest import HALF_MODEL, MANIFEST, MODEL, read_manifest, sha256
from app.contract.pipeline import Package, predict
from app.engine import CPU, CUDA
from app.gpu_session import LENGTHS, GpuSession
from app.runtimes import batch_bounds, open_engine
from app.sessions import OnnxSession
from app.settings import Settings
from app.trunks import Trunks
from tests.tiny_graphs import HEADS
from tests.tiny_package import GOLDEN_INPUTS, GOLDEN_TEXTS, build, edit_json


def settings_of(**changes: object) -> Settings:
    return Settings.model_validate({"gpu_max_batch_items": 4, "gpu_max_batch_tokens": 64} | changes)


def add_half(package: Path, *, weight: float = 1.0) -> None:
    """A second graph, rounded as fp16 is; its table is the first one's times a weight."""
    graph = onnx.load(package / MODEL)
    [table] = [tensor for tensor in graph.graph.initializer if tensor.name == "table"]
    halved = (numpy_helper.to_array(table) * weight).astype(np.float16).astype(np.float32)
    table.CopyFrom(numpy_helper.from_array(halved, "table"))
    onnx.save(graph, package / HALF_MODEL)
    files = read_manifest(package).files | {HALF_MODEL: sha256(package / HALF_MODEL)}
    edit_json(package / MANIFEST, files=files)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is the CPU."""

    class OnCpu(GpuSession):
        def __init__(self, package: Package, settings: Settings, *, provider: str) -> None:
            assert provider == CUDA
            super().__init__(package, settings, provider=CPU)

    monkeypatch.setattr(runtimes, "choose_provider", lambda wanted: CUDA)
    monkeypatch.setattr(runtimes, "GpuSession", OnCpu)


@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("task", HEADS)
def test_answers_of_every_head_are_those_of_the_plain_session(
    tmp_path: Path, task: str, cuda_graphs: bool
) -> None:
    package = Package.load(build(tmp_path, task=task))
    inputs = GOLDEN_INPUTS[package.head.kind]
    expected = predict(package, OnnxSession(package.model_path, provider="cpu"), inputs)
    session = GpuSession(package, settings_of(cuda_graphs=cuda_graphs), provider=CPU)

    found = [predict(package, session, inputs) for _ in range(3)]

    assert found == [expected] * 3


def test_many_threads_may_call_at_once(store: Path) -> None:
    package = Package.load(store / "ner/tiny/1")
    session = GpuSession(package, settings_of(), provider=CPU)
    expected = predict(package, session, GOLDEN_TEXTS)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: predict(package, session, GOLDEN_TEXTS), range(64)))

    assert found == [expected] * 64


def test_outputs_of_one_call_outlive_the_next(store: Path) -> None:
    package = Package.load(store / "ner/tiny/1")
    session = GpuSession(package, settings_of(), provider=CPU)
    blank = package.encoder.blank(1, 8)
    first = session(blank)["logits"]
    kept = first.copy()

    session({name: array + 3 for name, array in blank.items()})

    assert (first == kept).all()


def test_batches_of_all_sizes_come_in_few_shapes(store: Path) -> None:
    package = Package.load(store / "ner/tiny/1")
    session = GpuSession(package, settings_of(), provider=CPU)
    longest = package.manifest.encoder.max_tokens

    for rows in range(1, 5):
        for length in range(1, longest + 1):
            logits = session(package.encoder.blank(rows, length))["logits"]
            assert logits.shape[0] in (1, 2, 4)
            assert logits.shape[1] in (8, longest)
            assert len(logits) >= rows

    assert len(session._idle) == 6
    assert all(length % 8 == 0 for length in LENGTHS)


@pytest.mark.usefixtures("gpu")
def test_fp16_graph_of_a_package_runs_on_the_gpu(store: Path) -> None:
    package = store / "ner/tiny/1"
    add_half(package)

    engine = open_engine(Package.load(package), settings_of(), trunks=Trunks(), threads=1)

    assert engine.session.arithmetic == "fp16"
    assert batch_bounds(engine.session, settings_of()) == {
        "max_batch_items": 4,
        "max_batch_tokens": 64,
    }


@pytest.mark.usefixtures("gpu")
def test_fp16_graph_that_answers_otherwise_is_out_of_service(store: Path) -> None:
    package = store / "ner/tiny/1"
    add_half(package, weight=1.1)

    with pytest.raises(PackageError, match=r"logits differ by 0\.79"):
        open_engine(Package.load(package), settings_of(), trunks=Trunks(), threads=1)


def test_fp16_graph_changes_nothing_on_a_cpu(store: Path) -> None:
    add_half(store / "ner/tiny/1", weight=2)

    engine = open_engine(
        Package.load(store / "ner/tiny/1"), settings_of(), trunks=Trunks(), threads=1
    )

    assert (engine.session.provider, engine.session.arithmetic) == (CPU, None)


@pytest.mark.usefixtures("gpu")
def test_integer_graph_stays_on_the_cpu(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit_json(store / "ner/tiny/1" / MANIFEST, precision="int8", weights="int8")

    engine = open_engine(
        Package.load(store / "ner/tiny/1"), settings_of(), trunks=Trunks(), threads=1
    )

    assert engine.session.provider == CPU
    assert "model_left_on_cpu" in caplog.messages
    assert batch_bounds(engine.session, settings_of()) == {
        "max_batch_items": 8,
        "max_batch_tokens": 1024,
    }


def test_graph_that_the_engine_did_not_put_on_the_gpu_is_out_of_service(store: Path) -> None:
    package = Package.load(store / "ner/tiny/1")

    with pytest.raises(PackageError, match=r"CUDAExecutionProvider"):
        GpuSession(package, settings_of(), provider=CUDA)


def test_tensorrt_knows_all_shapes_before_traffic(tmp_path: Path) -> None:
    package = Package.load(build(tmp_path, task="sts"))
    session = GpuSession(package, settings_of(tensorrt_cache="/cache"), provider=CPU)

    settings = settings_of(tensorrt_cache="/cache")
    options = session._tensorrt(package, package.model_path, settings)

    names = "attention_mask", "input_ids", "token_type_ids"
    assert options["trt_profile_min_shapes"] == ",".join(f"{name}:1x8" for name in names)
    assert options["trt_profile_max_shapes"] == ",".join(f"{name}:4x16" for name in names)
    assert options["trt_engine_cache_path"] == "/cache"
    assert options["trt_engine_cache_prefix"] == sha256(package.model_path)
    assert options["trt_fp16_enable"] == "0"
