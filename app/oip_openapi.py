"""What the OpenAPI document says about /v2: errors in the protocol's form, bodies that we read."""

from http import HTTPStatus
from typing import Annotated, TypedDict

from fastapi import Path
from pydantic import BaseModel

from app.oip_schemas import (
    IndexRequest,
    InferParameters,
    InferReply,
    InferRequest,
    LoadRequest,
    ProtocolError,
    UnloadRequest,
)

Responses = dict[int | str, dict[str, object]]
ModelName = Annotated[
    str, Path(description="`<task>`, `<task>.<model>` or `<task>.<alias>`", examples=["ner"])
]
ModelVersion = Annotated[str, Path(description="of that model", examples=["1"])]

BODIES = (InferRequest, InferParameters, IndexRequest, LoadRequest, UnloadRequest)
"""Read by us; FastAPI does not know them."""

INFERENCE_ERRORS = (400, 404, 405, 413, 415, 422, 429, 500, 503, 504)
BINARY = {"schema": {"type": "string", "format": "binary"}}


class Operation(TypedDict):
    """Arguments of a route decorator."""

    response_model: None
    responses: Responses
    openapi_extra: dict[str, object]


def returns(model: object, *statuses: int, or_503: type[BaseModel] | None = None) -> Responses:
    """The responses of a route.

    Args:
        model: of a success.
        statuses: of errors.
        or_503: what tells that something is not ready, where that is no error.
    """
    responses: Responses = {200: {"model": model, "description": "OK"}}
    for status in statuses:
        responses[status] = {"model": ProtocolError, "description": HTTPStatus(status).phrase}
    if or_503:
        responses[503] = {"model": or_503 | ProtocolError, "description": "Not now"}
    return responses


def takes(body: type[BaseModel], *, required: bool = False) -> dict[str, object]:
    """The request body of a route."""
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}
    }


def _texts(**tensors: str) -> list[dict[str, object]]:
    """The input tensors that hold one text each."""
    return [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [text]}
        for name, text in tensors.items()
    ]


EXAMPLES: dict[str, dict[str, object]] = {  # by task
    "ner": {"inputs": _texts(text="Maria Ionescu lucrează la București.")},
    "sts": {"inputs": _texts(text="Plouă la Iași.", text_pair="La Iași plouă.")},
    "qa": {"inputs": _texts(question="Where was Ana born?", context="Ana was born in Cluj.")},
}
_INFER_BODY = {"$ref": "#/components/schemas/InferRequest"}
INFERENCE: Operation = {
    "response_model": None,
    "responses": returns(InferReply, *INFERENCE_ERRORS),
    "openapi_extra": {
        "parameters": [
            {
                "name": "Inference-Header-Content-Length",
                "in": "header",
                "description": "bytes of the JSON part, if binary data follow it",
                "schema": {"type": "integer", "minimum": 0},
            },
            {
                "name": "X-Request-Timeout-Ms",
                "in": "header",
                "description": "deadline in milliseconds; can only shorten the server's",
                "schema": {"type": "integer", "minimum": 1, "examples": [10000]},
            },
            {
                "name": "X-SLO-Ms",
                "in": "header",
                "description": "milliseconds within which an answer of `<task>.auto` is needed",
                "schema": {"type": "integer", "minimum": 1, "examples": [50]},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _INFER_BODY,
                    "examples": {name: {"value": body} for name, body in EXAMPLES.items()},
                },
                "application/octet-stream": BINARY,
            },
        },
    },
}
INFERENCE["responses"][200]["content"] = {"application/octet-stream": BINARY}
