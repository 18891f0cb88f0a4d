"""NVIDIA's client of the Open Inference Protocol works unchanged against the live service."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from tests.app.harness import AS_ADMIN, admin_settings
from tests.app.listening import START_TIMEOUT_S, listening
from tests.tiny_package import build

TEXTS = ["Maria Ionescu merge la București.", "merge și merge"]


@pytest.fixture
def client(store: Path, tmp_path: Path) -> Iterator[InferenceServerClient]:
    """A client of a running service."""
    with (
        listening(store, **admin_settings(tmp_path)) as address,
        InferenceServerClient(address, network_timeout=START_TIMEOUT_S) as running,
    ):
        yield running


def text_tensor(texts: list[str], *, binary: bool = True, shape: tuple[int, ...] = (-1,)) -> object:
    array = np.array([text.encode() for text in texts], object).reshape(shape)
    tensor = InferInput("text", list(array.shape), "BYTES")
    return tensor.set_data_from_numpy(array, binary_data=binary)


def entities(result: InferResult) -> list[list[str]]:
    return [[e["word"] for e in json.loads(document)] for document in result.as_numpy("result")]


EXPECTED = [["Maria Ionescu", "București"], []]


def test_server_and_models_describe_themselves(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("ner")
    assert client.is_model_ready("ner.tiny", "1")
    server = client.get_server_metadata()
    assert server["name"] == "loyal"
    assert {"binary_tensor_data", "model_repository"} <= set(server["extensions"])
    assert client.get_model_metadata("ner") == {
        "name": "ner.tiny",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "result", "datatype": "BYTES", "shape": [-1]}],
    }


def test_model_that_is_not_there_is_an_error(client: InferenceServerClient) -> None:
    assert not client.is_model_ready("ner.gone")
    with pytest.raises(InferenceServerException, match="ner has no model 'gone'") as error:
        client.infer("ner.gone", [text_tensor(TEXTS)])
    assert error.value.status() == "404"


def test_configuration_of_triton_itself_is_not_there(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no such route") as error:
        client.get_model_config("ner")
    assert error.value.status() == "404"


@pytest.mark.parametrize("name", ["ner", "ner.tiny", "ner.default"])
@pytest.mark.parametrize("version", ["", "1"])
def test_default_mode_is_binary_both_ways(
    client: InferenceServerClient, name: str, version: str
) -> None:
    result = client.infer(name, [text_tensor(TEXTS)], model_version=version, request_id="order-66")

    reply = result.get_response()
    assert entities(result) == EXPECTED
    assert (reply["id"], reply["model_name"], reply["model_version"]) == (
        "order-66",
        "ner.tiny",
        "1",
    )
    assert reply["outputs"][0]["parameters"]["binary_data_size"] > 0


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_json_and_binary_data_mix(
    client: InferenceServerClient, binary_in: bool, binary_out: bool
) -> None:
    result = client.infer(
        "ner",
        [text_tensor(TEXTS, binary=binary_in)],
        outputs=[InferRequestedOutput("result", binary_data=binary_out)],
    )

    assert entities(result) == EXPECTED
    assert ("data" in result.get_response()["outputs"][0]) is not binary_out


def test_column_of_texts_is_taken(client: InferenceServerClient) -> None:
    assert entities(client.infer("ner", [text_tensor(TEXTS, shape=(-1, 1))])) == EXPECTED


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests_are_taken(client: InferenceServerClient, algorithm: str) -> None:
    result = client.infer(
        "ner",
        [text_tensor(TEXTS)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )

    assert entities(result) == EXPECTED


def test_parameters_of_the_task_are_taken(client: InferenceServerClient) -> None:
    result = client.infer(
        "ner", [text_tensor(TEXTS)], timeout=5_000_000, parameters={"ignore_labels": ["PERSON"]}
    )

    assert entities(result) == [["București"], []]


def test_asynchronous_calls_are_answered(client: InferenceServerClient) -> None:
    waiting = [client.async_infer("ner", [text_tensor(TEXTS)]) for _ in range(4)]

    assert [entities(call.get_result()) for call in waiting] == [EXPECTED] * 4


def test_classification_is_refused(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="'classification' is not a known field"):
        client.infer(
            "ner",
            [text_tensor(TEXTS)],
            outputs=[InferRequestedOutput("result", class_count=1)],
        )


def test_models_are_loaded_and_unloaded(client: InferenceServerClient, store: Path) -> None:
    build(store, model="other")
    assert not client.is_model_ready("ner.other")

    client.load_model("ner.other", headers=AS_ADMIN)
    loaded = client.is_model_ready("ner.other")
    client.unload_model("ner.other", headers=AS_ADMIN)

    assert loaded
    assert not client.is_model_ready("ner.other")
    assert client.get_model_repository_index(headers=AS_ADMIN) == [
        {"name": "ner.other", "version": "1", "state": "UNAVAILABLE", "reason": "not loaded"},
        {"name": "ner.tiny", "version": "1", "state": "READY", "reason": ""},
    ]


def test_default_cannot_be_unloaded(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="ner/tiny:1 is the default of ner"):
        client.unload_model("ner.tiny", headers=AS_ADMIN)

    assert client.is_model_ready("ner.tiny")


def test_store_operations_need_an_admin_key(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="a key is needed") as error:
        client.get_model_repository_index()

    assert error.value.status() == "401"
