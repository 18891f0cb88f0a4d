"""Which engine, and which precision, answers."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.contract.manifest import MANIFEST, MODEL
from app.contract.pipeline import Package, predict
from app.errors import StartupError
from app.main import create_service
from app.openvino_session import OpenVinoSession
from app.runtimes import measure, open_engine
from app.settings import Settings
from app.trunks import Trunks
from tests.app.harness import serving
from tests.tiny_package import GOLDEN_TEXTS, build, edit_json, reseal

TEXT = "Maria Ionescu merge la București."


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino")


def settings_of(store: Path, runtime: str) -> Settings:
    return Settings.model_validate({"model_store": store, "runtime": runtime})


def add_a_node_that_only_onnxruntime_knows(package: Path) -> None:
    model = onnx.load(package / MODEL)
    model.graph.initializer.append(numpy_helper.from_array(np.eye(2, dtype=np.float32), "eye"))
    node = helper.make_node("Inverse", ["eye"], ["inverse"], domain="com.microsoft")
    model.graph.node.append(node)
    model.graph.output.append(helper.make_tensor_value_info("inverse", TensorProto.FLOAT, [2, 2]))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, package / MODEL)
    reseal(package)


@pytest.mark.anyio
@pytest.mark.usefixtures("openvino")
class TestOpenVino:
    async def test_answers_as_onnxruntime_does(self, store: Path) -> None:
        async with serving(store) as api:
            expected = (await api.ner(TEXT)).json()
        async with serving(store, runtime="openvino", threads=2) as api:
            answers = [(await api.ner(TEXT)).json() for _ in range(3)]
            model = (await api.http.get("/v1/models/ner/tiny")).json()
            served = await api.total("loyal_model_info", runtime="openvino")

        assert answers == [expected] * 3
        assert (model["state"], model["runtime"]) == ("ready", "openvino")
        assert served == 1

    def test_many_threads_may_call_at_once(self, store: Path) -> None:
        package = Package.load(store / "ner/tiny/1")
        session = OpenVinoSession(package.model_path, threads=2)
        expected = predict(package, session, GOLDEN_TEXTS)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: predict(package, session, GOLDEN_TEXTS), range(64)))

        assert found == [expected] * 64

    def test_integer_models_stay_on_onnxruntime(self, store: Path) -> None:
        edit_json(store / "ner/tiny/1" / MANIFEST, precision="int8", weights="int8")
        package = Package.load(store / "ner/tiny/1")

        engine = open_engine(package, settings_of(store, "openvino"), trunks=Trunks(), threads=1)

        assert engine.session.runtime == "onnxruntime"

    def test_measurement_decides_and_is_logged(
        self, store: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        package = Package.load(store / "ner/tiny/1")

        engine = open_engine(package, settings_of(store, "auto"), trunks=Trunks(), threads=1)

        [line] = [vars(r) for r in caplog.records if r.getMessage() == "runtime_chosen"]
        ratio = line["openvino_us_per_token"] / line["onnxruntime_us_per_token"]
        assert line["runtime"] == engine.session.runtime
        assert (ratio < 0.95) if line["runtime"] == "openvino" else (ratio > 0.85)
        assert engine.seconds_per_token > 0

    def test_graph_that_openvino_cannot_compile_runs_on_onnxruntime_under_auto(
        self, store: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        add_a_node_that_only_onnxruntime_knows(store / "ner/tiny/1")
        package = Package.load(store / "ner/tiny/1")

        engine = open_engine(package, settings_of(store, "auto"), trunks=Trunks(), threads=1)

        assert engine.session.runtime == "onnxruntime"
        [line] = [vars(r) for r in caplog.records if r.getMessage() == "openvino_left_out"]
        assert "OpenVINO" in line["reason"]

    async def test_graph_that_openvino_cannot_compile_is_out_of_service_where_it_is_demanded(
        self, store: Path
    ) -> None:
        add_a_node_that_only_onnxruntime_knows(store / "ner/tiny/1")

        async with serving(store, runtime="openvino") as api:
            model = (await api.http.get("/v1/models/ner/tiny")).json()

        assert model["state"] == "failed"
        assert "not a graph that OpenVINO" in model["reason"]


class TestWithoutOpenVino:
    @pytest.fixture(autouse=True)
    def missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openvino", None)

    def test_demanding_it_is_refused_with_the_extra_to_install(self, store: Path) -> None:
        with pytest.raises(StartupError, match=r"'\.\[openvino\]'"):
            create_service(settings_of(store, "openvino"))

    def test_auto_runs_on_onnxruntime(self, store: Path) -> None:
        package = Package.load(store / "ner/tiny/1")

        engine = open_engine(package, settings_of(store, "auto"), trunks=Trunks(), threads=1)

        assert engine.session.runtime == "onnxruntime"


@pytest.mark.anyio
class TestPrecision:
    """`tiny` and `tiny-fp32`, with these times a token instead of the measured ones."""

    @pytest.mark.parametrize(
        ("runtime", "default_s", "sibling_s", "name", "answered"),
        [
            ("auto", 2.0, 1.0, None, "ner/tiny-fp32:1"),
            ("auto", 2.0, 1.0, "default", "ner/tiny-fp32:1"),
            ("auto", 2.0, 1.0, "tiny", "ner/tiny:1"),
            ("auto", 1.0, 2.0, None, "ner/tiny:1"),
            ("auto", 1.0, 2.0, "tiny-fp32", "ner/tiny-fp32:1"),
            ("auto", 1.0, 0.95, None, "ner/tiny:1"),
            ("onnxruntime", 2.0, 1.0, None, "ner/tiny:1"),
        ],
    )
    async def test_default_is_answered_by_the_precision_that_was_measured_to_be_clearly_faster(
        self,
        store: Path,
        runtime: str,
        default_s: float,
        sibling_s: float,
        name: str | None,
        answered: str,
    ) -> None:
        build(store, model="tiny-fp32")
        async with serving(store, runtime=runtime) as api:
            for model, seconds in (("tiny", default_s), ("tiny-fp32", sibling_s)):
                entry = api.service.registry.find("ner", model)
                assert entry.served
                engine = replace(entry.served.engine, seconds_per_token=seconds)
                entry.served = replace(entry.served, engine=engine)

            response = await api.ner("Ion", model=name)

        assert response.headers["X-Model"] == answered

    async def test_sibling_of_another_version_does_not_answer(self, store: Path) -> None:
        build(store, model="tiny-fp32", version=2)
        async with serving(store, runtime="auto") as api:
            entry = api.service.registry.find("ner", "tiny-fp32")
            assert entry.served
            engine = replace(entry.served.engine, seconds_per_token=1e-12)
            entry.served = replace(entry.served, engine=engine)

            response = await api.ner("Ion")

        assert response.headers["X-Model"] == "ner/tiny:1"


def test_measured_ones_take_turns() -> None:
    turns: list[str] = []

    seconds = measure([lambda: turns.append("a"), lambda: turns.append("b")], rounds=3)

    assert turns == ["a", "b"] * 3
    assert len(seconds) == 2
