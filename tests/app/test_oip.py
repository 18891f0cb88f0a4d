"""The Open Inference Protocol v2 over HTTP."""

import gzip
import json
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.oip_schemas import InferReply
from tests.app.harness import AS_ADMIN, Api, admin_settings, serving
from tests.app.tensors import assert_error, elements, tensor
from tests.tiny_graphs import CRASH
from tests.tiny_package import build

pytestmark = pytest.mark.anyio

MAX_TEXTS = 4
MAX_BYTES = 4096


@pytest.fixture
async def api(store: Path, tmp_path: Path) -> AsyncIterator[Api]:
    limits = {"max_texts_per_request": MAX_TEXTS, "max_body_bytes": MAX_BYTES}
    async with serving(store, **limits, **admin_settings(tmp_path)) as running:
        running.http.headers.update(AS_ADMIN)
        yield running


ONE = tensor(shape=[1], data=["Ion"])


@pytest.mark.parametrize(
    ("body", "status", "mentioned"),
    [
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": [ONE], "options": 1}, 422, "'options' is not a known field"),
        ({"inputs": [ONE | {"datatype": "FP32"}]}, 422, "'BYTES'"),
        ({"inputs": [ONE | {"shape": [1, 1, 1]}]}, 422, "shape"),
        ({"inputs": [ONE | {"shape": [2]}]}, 400, "1 elements"),
        ({"inputs": [ONE | {"shape": [-1]}]}, 400, "[N] or [N, 1]"),
        ({"inputs": [ONE | {"shape": [1, 2]}]}, 400, "[N] or [N, 1]"),
        ({"inputs": [ONE | {"name": "words"}]}, 400, "input tensors text"),
        ({"inputs": [ONE, ONE]}, 400, "twice"),
        ({"inputs": [ONE, ONE | {"name": "text_pair"}]}, 400, "input tensors text"),
        ({"inputs": [tensor(shape=[1])]}, 400, "either data or binary_data_size"),
        ({"inputs": [tensor(shape=[1], data=["Ion"], size=3)]}, 400, "either data or"),
        ({"inputs": [tensor(shape=[1], size=3)]}, 400, "0 elements"),
        ({"inputs": [tensor(shape=[1], data=[1])]}, 400, "must be a string"),
        ({"inputs": [tensor(shape=[1], data=[["Ion"]])]}, 400, "must be a string"),
        ({"inputs": [tensor(shape=[2, 1], data=[["Ion", "la"]])]}, 400, "must be a string"),
        ({"inputs": [tensor(shape=[0], data=[])]}, 422, "empty list"),
        ({"inputs": [tensor(shape=[1], data=[" "])]}, 422, "empty or has only white space"),
        ({"inputs": [tensor(shape=[10**9], size=0)]}, 422, "at most 4 are taken"),
        ({"inputs": [ONE], "outputs": [{"name": "score"}]}, 400, "may name result"),
        ({"inputs": [ONE], "outputs": [{"name": "result"}] * 2}, 400, "each once"),
        ({"inputs": [ONE], "parameters": {"top_k": 1}}, 422, "'top_k' is not a known parameter"),
        ({"inputs": [ONE], "parameters": {"priority": 1}}, 422, "'priority'"),
        ({"inputs": [ONE], "parameters": {"timeout": -1}}, 422, "timeout"),
        ({"inputs": [ONE], "parameters": {"timeout": "1"}}, 422, "timeout"),
        ({"inputs": [ONE], "parameters": {"binary_data_output": 1}}, 422, "binary_data_output"),
        ({"inputs": [tensor(shape=[1], data=[CRASH])]}, 500, "the other inputs"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_wrong_request_is_refused_with_the_reason(
    api: Api, body: object, status: int, mentioned: str
) -> None:
    assert_error(await api.http.post("/v2/models/ner/infer", json=body), status, mentioned)


async def test_binary_text_that_is_not_utf_8_is_422_by_its_index(api: Api) -> None:
    data = elements(["Ion"]) + struct.pack("<I", 1) + b"\xff"
    head = json.dumps({"inputs": [tensor(shape=[2], size=len(data))]}).encode()

    response = await api.http.post(
        "/v2/models/ner/infer",
        content=head + data,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )

    assert_error(response, 422, "not UTF-8")


async def test_body_is_read_under_the_limits_of_v1(api: Api) -> None:
    path = "/v2/models/ner/infer"
    too_large = await api.http.post(path, content=b" " * (MAX_BYTES + 1))
    bomb = gzip.compress(b" " * (MAX_BYTES + 1))
    inflated = await api.http.post(path, content=bomb, headers={"Content-Encoding": "gzip"})
    form = await api.http.post(path, content=b"{}", headers={"Content-Type": "text/plain"})
    broken = await api.http.post(path, content=b"{")

    assert_error(too_large, 413, str(MAX_BYTES))
    assert_error(inflated, 413, "after decompression")
    assert_error(form, 415)
    assert_error(broken, 400, "not JSON")


@pytest.mark.parametrize(
    ("path", "mentioned"),
    [
        ("/v2/models/qa", "known are ner"),
        ("/v2/models/ner.gone", "known are default, tiny"),
        ("/v2/models/ner/versions/7", "known are 1"),
        ("/v2/models/ner.tiny/versions/x/ready", "known are 1"),
        ("/v2/models/ner/config", "no such route"),
        ("/v2/nowhere", "no such route"),
    ],
)
async def test_unknown_name_is_404_with_the_known_ones(api: Api, path: str, mentioned: str) -> None:
    assert_error(await api.http.get(path), 404, mentioned)


async def test_timeout_is_in_microseconds_and_can_only_shorten(api: Api) -> None:
    body = {"inputs": [ONE], "parameters": {"timeout": 30_000}}
    with api.workers_held():
        late = await api.http.post("/v2/models/ner/infer", json=body)
    served = await api.http.post("/v2/models/ner/infer", json=body | {"parameters": {"timeout": 0}})

    assert_error(late, 504, "30 ms")
    assert served.status_code == 200


async def test_result_is_the_document_that_v1_answers(api: Api) -> None:
    parameters = {"aggregation_strategy": "none"}
    texts = ["Ion merge la Iași", "Maria"]
    tensors = {"inputs": [tensor(shape=[2], data=texts)], "parameters": parameters}

    v1 = await api.ner(texts, parameters=parameters)
    v2 = await api.http.post("/v2/models/ner.tiny/versions/1/infer", json=tensors)

    [output] = v2.json()["outputs"]
    assert [json.loads(document) for document in output["data"]] == v1.json()
    assert v2.headers["X-Model"] == v1.headers["X-Model"]


async def test_requests_are_counted_as_those_of_v1(api: Api) -> None:
    await api.http.post("/v2/models/ner/infer", json={"inputs": [ONE]})
    await api.http.post("/v2/models/ner/infer", json={"inputs": []})

    assert await api.total("loyal_requests_total", task="ner", model="tiny", code="200") == 1
    assert await api.total("loyal_requests_total", task="ner", code="422") == 1


async def test_model_that_is_out_of_service_is_503(api: Api, store: Path) -> None:
    (build(store, model="faulty") / "model.onnx").write_bytes(b"")
    load = await api.http.post("/v2/repository/models/ner.faulty/load")
    ready = await api.http.get("/v2/models/ner.faulty/ready")
    answer = await api.http.post("/v2/models/ner.faulty/infer", json={"inputs": [ONE]})

    assert_error(load, 409, "ner/faulty:1 cannot serve", "sha256")
    assert (ready.status_code, ready.json()) == (503, {"name": "ner.faulty", "ready": False})
    assert_error(answer, 503, "sha256")


async def test_openapi_documents_the_protocol(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()

    infer = document["paths"]["/v2/models/{name}/infer"]["post"]
    assert "InferRequest" in document["components"]["schemas"]
    assert {p["name"] for p in infer["parameters"]} >= {"name", "Inference-Header-Content-Length"}
    assert set(infer["responses"]) >= {"200", "400", "404", "413", "422", "429", "503", "504"}


async def test_documented_bodies_are_answered(only: Callable[..., Path]) -> None:
    async with serving(only("ner", "sts", "qa")) as api:
        document = (await api.http.get("/openapi.json")).json()
        operation = document["paths"]["/v2/models/{name}/infer"]["post"]
        bodies = operation["requestBody"]["content"]["application/json"]["examples"]

        replies = {
            task: await api.http.post(f"/v2/models/{task}/infer", json=body["value"])
            for task, body in bodies.items()
        }

    assert replies.keys() == {"ner", "sts", "qa"}
    for reply in replies.values():
        assert reply.status_code == 200, reply.text
        InferReply.model_validate_json(reply.content)
