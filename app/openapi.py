"""The OpenAPI document: what FastAPI cannot infer, because bodies are read and written by us."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, TypeAdapter

from app.access import Need, is_below, need_of
from app.errors import CODES, V2_CODES
from app.oip_openapi import BODIES
from app.problems import MEDIA_TYPE, UNAUTHORIZED
from app.schemas import Problem
from app.tasks import TASKS
from app.tasks.task import Task

REF = "#/components/schemas/{model}"
EXAMPLE_ID = "5f1c7d0e9b8a4c6f8d2e1a3b4c5d6e7f"
Responses = dict[int | str, dict[str, object]]

INFERENCE_ERRORS = (400, 404, 405, 413, 415, 422, 429, 431, 500, 503, 504)
WITH_RETRY_AFTER = (429, 503)
KEY_SCHEME = "key"


def errors(*statuses: int) -> Responses:
    """The responses for error statuses, with an example for each of their codes."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "headers": _error_headers(status),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": REF.format(model="Problem")},
                    "examples": {
                        code: {"value": _example(code, status, title)}
                        for code, (its_status, title) in CODES.items()
                        if its_status == status and code not in V2_CODES
                    },
                }
            },
        }
        for status in statuses
    }


def protocol_error(status: int) -> dict[str, object]:
    """The response for an error status, in the form of the Open Inference Protocol."""
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _error_headers(status),
        "content": {"application/json": {"schema": {"$ref": REF.format(model="ProtocolError")}}},
    }


def returns(model: type[BaseModel], *statuses: int) -> Responses:
    """The responses of a route that answers with `model`, or one of these error statuses."""
    return {200: {"model": model, "description": "OK"}, **errors(*statuses)}


def document(app: FastAPI, *, is_keyed: bool) -> dict[str, object]:
    """The whole document: FastAPI's own, and the inference routes that it does not know.

    Args:
        app: with its routes.
        is_keyed: whether API keys are needed.
    """
    content = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    replies, definitions = TypeAdapter.json_schemas(
        [
            *((task.name, "serialization", task.reply) for task in TASKS.values()),
            *((task.name, "validation", TypeAdapter(task.request)) for task in TASKS.values()),
            ("problem", "serialization", TypeAdapter(Problem)),
            *((model.__name__, "validation", TypeAdapter(model)) for model in BODIES),
        ],
        ref_template=REF,
    )
    schemas = content["components"]["schemas"]
    schemas.update(definitions["$defs"])
    # FastAPI promises its own 422 wherever there is a path parameter; ours take any string.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in content["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    inference = {
        f"/v1/{task.name}": {
            "post": _operation(
                task,
                request=replies[task.name, "validation"],
                reply=replies[task.name, "serialization"],
            )
        }
        for task in TASKS.values()
    }
    content["paths"] = inference | content["paths"]
    content["components"]["securitySchemes"] = {KEY_SCHEME: {"type": "http", "scheme": "bearer"}}
    for path, operations in content["paths"].items():
        for operation in operations.values():
            operation |= _key(path, operation["responses"], is_keyed=is_keyed)
    return content


def _key(path: str, responses: Mapping[str, object], *, is_keyed: bool) -> dict[str, object]:
    """What the need of a key changes in an operation."""
    need = need_of(path)
    if need is Need.NOTHING or (need is Need.KEY and not is_keyed):
        return {}
    statuses = (401, 403) if need is Need.ADMIN_KEY else (401,)
    in_protocol = is_below(path, "/v2")
    refusals = {
        str(status): protocol_error(status) if in_protocol else errors(status)[status]
        for status in statuses
    }
    return {"security": [{KEY_SCHEME: []}], "responses": {**responses, **refusals}}


def _header(description: str, kind: str = "string") -> dict[str, object]:
    return {"description": description, "schema": {"type": kind}}


def _error_headers(status: int) -> dict[str, object]:
    headers: dict[str, object] = {
        "X-Request-Id": _header("the request's id"),
        "X-Error-Message": _header("the detail, in ASCII"),
    }
    if status == UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header("`Bearer`")
    if status in WITH_RETRY_AFTER:
        headers["Retry-After"] = _header("seconds; where waiting helps", "integer")
    return headers


def _example(code: str, status: int, title: str) -> dict[str, object]:
    return {
        "type": f"urn:loyal:error:{code}",
        "title": title,
        "status": status,
        "detail": "one line that says what is wrong and what to do",
        "instance": EXAMPLE_ID,
        "code": code,
        "errors": [],
    }


def _operation(
    task: Task[Any], *, request: dict[str, object], reply: dict[str, object]
) -> dict[str, object]:
    """`POST /v1/{task}`."""
    return {
        "tags": ["inference"],
        "summary": task.summary,
        "operationId": f"infer_{task.name}",
        "parameters": PARAMETERS,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": request,
                    "examples": {
                        name: {"value": body} for name, (body, _) in task.examples.items()
                    },
                }
            },
        },
        "responses": {
            "200": {
                "description": "The answer of one input, or a list of answers for a list of inputs",
                "headers": REPLY_HEADERS,
                "content": {
                    "application/json": {
                        "schema": reply,
                        "examples": {
                            name: {"value": answer} for name, (_, answer) in task.examples.items()
                        },
                    }
                },
            }
        }
        | {str(status): response for status, response in errors(*INFERENCE_ERRORS).items()},
    }


REPLY_HEADERS = {
    "X-Model": _header("`<task>/<model>:<version>` that answered"),
    "X-Answered-By": _header(
        "for auto and cascade: `<task>/<model>:<version>`, or two of them with a comma between, of "
        "which the second has the indices of its inputs: `;inputs=0,4`"
    ),
    "X-SLO-Met": _header("whether the answer took no longer than X-SLO-Ms", "boolean"),
    "X-Request-Id": _header("echoed, or made"),
    "X-Truncated": _header("indices of the inputs that were cut, only if any"),
    "X-Tokenization-Time": _header("milliseconds", "number"),
    "X-Queue-Time": _header("milliseconds, longest of the inputs", "number"),
    "X-Inference-Time": _header("milliseconds, longest of the inputs", "number"),
    "X-Total-Time": _header("milliseconds", "number"),
}
PARAMETERS = [
    {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "description": "deadline in milliseconds; can only shorten the server's",
        "schema": {"type": "integer", "minimum": 1, "examples": [10000]},
    },
    {
        "name": "X-SLO-Ms",
        "in": "header",
        "description": "milliseconds within which an answer is needed; the model `auto` needs it, "
        "to others it means nothing",
        "schema": {"type": "integer", "minimum": 1, "examples": [50]},
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "echoed if it is printable ASCII of at most 128 characters",
        "schema": {"type": "string"},
    },
]
