import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import Message

from app.contract.errors import InputError
from app.errors import CODES, from_input_error, status_of
from tests.app.harness import Api, assert_problem, serving
from tests.tiny_graphs import CRASH, INFINITE

pytestmark = pytest.mark.anyio

MAX_TEXTS = 4
MAX_CHARS = 100
MAX_BYTES = 2048


@pytest.fixture
async def api(store: Path) -> AsyncIterator[Api]:
    limits = {"max_texts_per_request": MAX_TEXTS, "max_chars_per_text": MAX_CHARS}
    async with serving(store, max_body_bytes=MAX_BYTES, **limits) as running:
        yield running


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"inputs=Maria",
        b'{"inputs": "Maria"',
        b'{"inputs": NaN}',
        b'{"inputs": "\\ud800", "model": NaN}',
        b'{"inputs": "\xff"}',
        b'\xff\xfe{\x00}\x00',
        b'{"inputs": "\\ud800\xff"}',
        b"[" * 1500,
        b'{"inputs": ' + b"[" * 1200 + b'"\\ud800"' + b"]" * 600 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)  # fmt: skip
async def test_body_that_is_not_json_is_400(api: Api, body: bytes) -> None:
    assert_problem(await api.post(body), 400, "invalid_json")


@pytest.mark.parametrize("field", ["inputs", "model", "parameters"])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
async def test_deep_nesting_is_an_ordinary_error(api: Api, field: str, opening: str) -> None:
    depth = 300
    closing = "]" if opening == "[" else "}"
    nested = opening * depth + "1" + closing * depth

    response = await api.post(f'{{"inputs": "Ion", "{field}": {nested}}}'.encode())

    assert response.status_code == 422


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
async def test_other_media_type_is_415(api: Api, content_type: str) -> None:
    response = await api.post(b'{"inputs": "Maria"}', content_type)

    assert_problem(response, 415, "unsupported_media_type", "Content-Type: application/json")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/ld+json"]
)
async def test_variants_of_json_media_type_are_taken(api: Api, content_type: str) -> None:
    assert (await api.post(b'{"inputs": "Maria"}', content_type)).status_code == 200


async def test_declared_length_above_the_limit_is_413_before_the_body_is_read(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        pytest.fail("the body was read on")

    headers = {"Content-Type": "application/json", "Content-Length": "99999"}
    response = await api.http.post("/v1/ner", content=body(), headers=headers)

    assert_problem(response, 413, "body_too_large", str(MAX_BYTES))


async def test_streamed_body_above_the_limit_is_413(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(MAX_BYTES):
            yield b"xx"

    headers = {"Content-Type": "application/json"}
    response = await api.http.post("/v1/ner", content=body(), headers=headers)

    assert_problem(response, 413, "body_too_large", str(MAX_BYTES))


@pytest.mark.parametrize(
    ("body", "code", "mentioned"),
    [
        ([], "invalid_request", "got a list"),
        ("Maria", "invalid_request", "got a string"),
        (None, "invalid_request", "got null"),
        ({}, "invalid_request", "inputs"),
        ({"inputs": 1}, "invalid_request", "got a number"),
        ({"inputs": None}, "invalid_request", "got null"),
        ({"inputs": {"a": 1}}, "invalid_request", "got an object"),
        ({"inputs": "a", "model": 1}, "invalid_request", "model"),
        ({"inputs": "a", "parameters": []}, "invalid_request", "parameters"),
        ({"inputs": "a", "options": {}}, "unknown_field", "'options'"),
        ({"inputs": "a", "fără": {}}, "unknown_field", r"'f\u0103r\u0103'"),
        ({"inputs": "a", "x" * 500: {}}, "unknown_field", "'" + "x" * 40 + "...'"),
        ({"inputs": "a", "parameters": {"top_k": 1}}, "unknown_parameter", "'top_k'"),
        ({"inputs": "a", "parameters": {"truncate": "yes"}}, "invalid_parameter", "truncate"),
        ({"inputs": "a", "parameters": {"stride": -1}}, "invalid_parameter", "stride"),
        ({"inputs": "a", "parameters": {"stride": 7.5}}, "invalid_parameter", "stride"),
        ({"inputs": "a", "parameters": {"stride": 8}}, "invalid_parameter", "at most 7"),
        (
            {"inputs": "a", "parameters": {"aggregation_strategy": "most"}},
            "invalid_parameter",
            "'none'",
        ),
        ({"inputs": "a", "parameters": {"ignore_labels": [1]}}, "invalid_parameter", "ignore"),
        ({"inputs": "a"} | {str(n): n for n in range(40)}, "invalid_request", "41 fields"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_wrong_field_is_422_and_named(
    api: Api, body: object, code: str, mentioned: str
) -> None:
    assert_problem(await api.post(json.dumps(body).encode()), 422, code, mentioned)


async def test_every_wrong_field_is_reported(api: Api) -> None:
    response = await api.ner("a", options=1, parameters={"truncate": 1, "top_k": 2})

    assert {error["field"] for error in response.json()["errors"]} == {
        "options",
        "parameters.truncate",
        "parameters.top_k",
    }


SPLIT = {"is_split_into_words": True}


@pytest.mark.parametrize(
    ("inputs", "parameters", "code", "index"),
    [
        ([], {}, "no_inputs", None),
        ([], SPLIT, "no_inputs", None),
        (["Maria"] * (MAX_TEXTS + 1), {}, "too_many_inputs", None),
        ([["Maria"]] * (MAX_TEXTS + 1), SPLIT, "too_many_inputs", None),
        ("", {}, "empty_text", 0),
        (["Maria", " \n\t\u00a0"], {}, "empty_text", 1),
        ([["Maria"], []], SPLIT, "empty_text", 1),
        ([["Maria"], ["", ""]], SPLIT, "empty_text", 1),
        (["Maria", "a" * (MAX_CHARS + 1)], {}, "text_too_long", 1),
        ([["Maria"], ["a"] * MAX_CHARS], SPLIT, "text_too_long", 1),
        (["Maria", "I\0on"], {}, "invalid_text", 1),
        (["Maria", "I\ud800on"], {}, "invalid_text", 1),
        (["Maria", "a" + "\u0301\u0316" * 33], {}, "invalid_text", 1),
        ([["Maria"], ["I\udfffon"]], SPLIT, "invalid_text", 1),
        (["Maria", 3], {}, "invalid_request", 1),
        (["Maria", None], {}, "invalid_request", 1),
        (["Maria", ["Ion"]], {}, "invalid_request", 1),
        ("Maria", SPLIT, "invalid_request", None),
        ([["Maria"], "Ion"], SPLIT, "invalid_request", 1),
        ([["Maria"], ["Ion", None]], SPLIT, "invalid_request", 1),
        ([["Maria"], ["Ion", 7]], SPLIT, "invalid_request", 1),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_input_that_cannot_be_read_is_422_with_its_index(
    api: Api, inputs: object, parameters: dict[str, object], code: str, index: int | None
) -> None:
    response = await api.ner(inputs, parameters=parameters)

    assert_problem(response, 422, code, index=index)


async def test_every_wrong_input_is_reported(api: Api) -> None:
    errors = (await api.ner(["", "Maria", "\0", 5])).json()["errors"]

    assert [(error["index"], error["code"]) for error in errors] == [
        (0, "empty_text"),
        (2, "invalid_text"),
        (3, "invalid_request"),
    ]


@pytest.mark.parametrize(
    ("name", "status", "code", "mentioned"),
    [
        ("other", 404, "unknown_model", "default, tiny"),
        ("", 404, "unknown_model", "default, tiny"),
        ("../tiny", 404, "unknown_model", "default, tiny"),
        ("\r\nX-Evil: 1", 404, "unknown_model", r"\r\nX-Evil"),
        ("teacher", 404, "unknown_model", "default, tiny"),
        ("tiny:2", 404, "unknown_version", "known are 1"),
        ("tiny:one", 404, "unknown_version", "known are 1"),
        ("tiny:01", 404, "unknown_version", "known are 1"),
        ("tiny:" + "9" * 50, 404, "unknown_version", "known are 1"),
    ],
)
async def test_unknown_model_or_version_is_404_with_the_known_names(
    api: Api, name: str, status: int, code: str, mentioned: str
) -> None:
    response = await api.ner("Maria", model=name)

    assert_problem(response, status, code, mentioned)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "mentioned"),
    [
        ("POST", "/v1/translation", 404, "unknown_task", "known are ner"),
        ("GET", "/v1/nothing", 404, "unknown_task", "known are ner"),
        ("GET", "/v1/models/qa", 404, "unknown_task", "known are ner"),
        ("GET", "/v1/models/ner/other", 404, "unknown_model", "known are default, tiny"),
        ("GET", "/v1/models/ner/tiny:7", 404, "unknown_version", "known are 1"),
        ("POST", "/v1/ner/", 404, "not_found", "/docs"),
        ("GET", "/nothing", 404, "not_found", "/docs"),
        ("GET", "/v1/ner", 405, "method_not_allowed", "/docs"),
        ("DELETE", "/v1/models", 405, "method_not_allowed", "/docs"),
    ],
)
async def test_unknown_route_or_method_is_a_problem_too(
    api: Api, method: str, path: str, status: int, code: str, mentioned: str
) -> None:
    assert_problem(await api.http.request(method, path), status, code, mentioned)


async def test_wrong_method_names_the_right_one(api: Api) -> None:
    assert (await api.http.get("/v1/ner")).headers["Allow"] == "POST"


@pytest.mark.parametrize("sent", ["0", "-1", "1.5", "soon", "", "9" * 20, "²"])
async def test_timeout_header_that_is_no_number_is_422(api: Api, sent: str) -> None:
    headers = [(b"X-Request-Timeout-Ms", sent.encode("latin-1"))]  # httpx encodes no "²"
    response = await api.http.post("/v1/ner", json={"inputs": "Maria"}, headers=headers)

    assert_problem(response, 422, "invalid_header", "X-Request-Timeout-Ms")


@pytest.mark.parametrize("poison", [CRASH, INFINITE])
async def test_input_that_breaks_the_model_is_500_and_named(api: Api, poison: str) -> None:
    response = await api.ner(["Maria", f"Ion {poison}", "Ion"])

    assert_problem(response, 500, "inference_failed", "other inputs are not affected", index=1)


async def test_the_next_request_works_after_every_kind_of_error(api: Api) -> None:
    for body in (b"{", b'{"inputs": ""}', b'{"inputs": "crash"}', b"[" * 1500):
        assert (await api.post(body)).status_code >= 400

    assert (await api.ner("Maria")).json()[0]["word"] == "Maria"


async def test_errors_and_logs_never_hold_the_text(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = "Zamfirescu"

    responses: list[httpx.Response] = [
        await api.ner(f"{secret} {CRASH}"),
        await api.ner([secret, ""]),
        await api.ner(secret + "a" * MAX_CHARS),
        await api.ner(f"{secret}\0"),
        await api.post(f'{{"inputs": "{secret}"'.encode()),
        await api.http.post(f"/v1/{secret}"),
        await api.http.post(f"/{secret}"),
        await api.ner(secret),
    ]

    formatted = "".join(str(vars(r)) for r in caplog.records if r.name.startswith("app"))
    assert secret not in "".join(response.text for response in responses)
    assert secret not in formatted


async def test_unexpected_failure_is_a_bare_500(api: Api) -> None:
    async def fail() -> None:
        raise RuntimeError("a secret")

    api.service.framework.add_api_route("/fail", fail)

    response = await api.http.get("/fail")

    assert_problem(response, 500, "internal_error")
    assert "secret" not in response.text


@pytest.mark.parametrize("code", ["empty_text", "invalid_parameter", "a_code_of_a_later_contract"])
async def test_what_the_contract_refuses_is_the_callers_to_mend(code: str) -> None:
    error = from_input_error(InputError(code, "no", index=3))

    assert (error.code, status_of(error.code)) == (code, 422)


async def test_codes_and_statuses_are_well_formed() -> None:
    assert all(code.isidentifier() and code.islower() for code in CODES)
    assert all(400 <= status < 600 for status, _ in CODES.values())


async def test_client_that_leaves_within_its_body_is_499(api: Api) -> None:
    messages: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b'{"inputs": "Mar', "more_body": True},
    ]

    async def receive() -> Message:
        return messages.pop()

    async def send(_: Message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/ner",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await api.service.app(scope, receive, send)

    assert await api.total("loyal_requests_total", code="499") == 1
    assert await api.total("loyal_rejected_total", reason="disconnected") == 1
