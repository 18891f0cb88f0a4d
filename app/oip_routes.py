"""The Open Inference Protocol v2 over HTTP: health, metadata, inference."""

import re
from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app import oip_openapi, oip_tasks
from app.answering import read_call
from app.contract.manifest import RESERVED
from app.errors import Fault, RequestError, Unavailable
from app.exchange import Answered, deadline, infer, timeout_ms
from app.health import Probes
from app.inputs import InputLimits, parse_json, read_body, validate
from app.loading import Entry
from app.oip_openapi import ModelName, ModelVersion, returns
from app.oip_schemas import (
    InferParameters,
    InferRequest,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    RequestedOutput,
    ServerMetadata,
)
from app.oip_tensors import Output, decompress, read_texts, split, write_reply
from app.registry import Registry
from app.settings import Settings
from app.tasks import TASKS
from app.telemetry import record_of

EXTENSIONS = ["binary_tensor_data", "model_repository", "parameters"]
JSON_LENGTH = "Inference-Header-Content-Length"
MEDIA_TYPE = re.compile(r"|application/(json|octet-stream)\s*(;.*)?", re.IGNORECASE)
"""tritonclient declares none."""

BINARY = "application/octet-stream"


def model_name(registry: Registry, name: str, version: str | None) -> tuple[str, str | None]:
    """Task and model, as under /v1, that a name under /v2 means.

    Args:
        registry: of the application.
        name: `<task>`, `<task>.<model>`, `<task>.<alias>`, or `<task>` with a
            reserved name.
        version: of that model; the one it means by itself if not given.

    Raises:
        RequestError: unknown task or model.
        Unavailable: an alias leads nowhere.
    """
    task, _, model = name.partition(".")
    if version is None:
        return task, model or None
    return task, f"{registry.find(task, model or None).model}:{version}"


def find_described(registry: Registry, task: str, model: str | None) -> Entry:
    """The model whose tensors and state a name stands for: the default where requests decide.

    Raises:
        RequestError: unknown task or model.
        Unavailable: an alias leads nowhere.
    """
    return registry.find(task, None if model in RESERVED else model)


def protocol_routes(registry: Registry, probes: Probes, *, release: str) -> APIRouter:
    """`GET /v2` and what is below it."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    get = partial(router.get, response_model=None)

    @get("", summary="Server metadata", responses=returns(ServerMetadata))
    async def show_server() -> Response:
        """Name, version and extensions of the protocol."""
        return _json(ServerMetadata(name="loyal", version=release, extensions=EXTENSIONS))

    @get("/health/live", summary="Is the server alive?", responses=returns(Live, or_503=Live))
    async def show_live() -> Response:
        """As `/livez`."""
        is_live, _ = probes.live()
        return _json(Live(live=is_live), 200 if is_live else 503)

    @get("/health/ready", summary="Is the server ready?", responses=returns(Ready, or_503=Ready))
    async def show_ready() -> Response:
        """As `/readyz`."""
        is_ready, _ = probes.ready()
        return _json(Ready(ready=is_ready), 200 if is_ready else 503)

    def find(name: str, version: str | None) -> Entry:
        return find_described(registry, *model_name(registry, name, version))

    def describe(name: str, version: str | None) -> Response:
        entry = find(name, version)
        if entry.manifest is None:
            detail = f"{entry.name} is out of service: {entry.reason}"
            raise Unavailable("model_unavailable", detail)
        inputs, outputs = oip_tasks.metadata(entry.manifest)
        versions = registry.models(entry.task)[entry.model].entries
        metadata = ModelMetadata(
            name=f"{entry.task}.{entry.model}",
            versions=[version] if version else [*map(str, versions)],
            inputs=inputs,
            outputs=outputs,
        )
        return _json(metadata)

    described = returns(ModelMetadata, 404, 503)

    @get("/models/{name}", summary="A model", responses=described)
    async def show_model(name: ModelName) -> Response:
        """Versions, input tensors and output tensors."""
        return describe(name, None)

    @get("/models/{name}/versions/{version}", summary="A model version", responses=described)
    async def show_model_version(name: ModelName, version: ModelVersion) -> Response:
        """Input tensors and output tensors."""
        return describe(name, version)

    def tell_ready(name: str, version: str | None) -> Response:
        is_ready = find(name, version).state == "ready"
        return _json(ModelReady(name=name, ready=is_ready), 200 if is_ready else 503)

    told = returns(ModelReady, 404, or_503=ModelReady)

    @get("/models/{name}/ready", summary="Is a model ready?", responses=told)
    async def show_model_ready(name: ModelName) -> Response:
        """503 while it is not loaded, loading, or out of service."""
        return tell_ready(name, None)

    @get(
        "/models/{name}/versions/{version}/ready",
        summary="Is a model version ready?",
        responses=told,
    )
    async def show_model_version_ready(name: ModelName, version: ModelVersion) -> Response:
        """503 while it is not loaded, loading, or out of service."""
        return tell_ready(name, version)

    return router


def tensor_routes(registry: Registry, settings: Settings) -> APIRouter:
    """`POST /v2/models/{name}/infer`."""
    router = APIRouter(prefix="/v2/models/{name}", tags=["Open Inference Protocol"])
    limits = InputLimits(
        settings.max_texts_per_request, settings.max_chars_per_text, settings.max_chars_per_context
    )

    @router.post("/infer", summary="Inference", **oip_openapi.INFERENCE)
    async def infer_by_model(request: Request, name: ModelName) -> Response:
        """The answers of `/v1`, as tensors."""
        return await answer(request, name, None)

    @router.post(
        "/versions/{version}/infer", summary="Inference by a version", **oip_openapi.INFERENCE
    )
    async def infer_by_version(
        request: Request, name: ModelName, version: ModelVersion
    ) -> Response:
        """The answers of `/v1`, as tensors."""
        return await answer(request, name, version)

    async def answer(request: Request, name: str, version: str | None) -> Response:
        longest_ms = timeout_ms(request, settings.request_timeout_ms)
        task, model = model_name(registry, name, version)
        manifest = find_described(registry, task, model).manifest
        record_of(request).task = task
        async with deadline(longest_ms) as latest_s:
            asked, texts = await _read(request, settings)
            if manifest:
                _check_names(asked, oip_tasks.to_outputs(manifest, []))
            own, parameters = oip_tasks.split_parameters(task, asked.parameters)
            inputs = oip_tasks.to_inputs(task, texts)
            body = {"inputs": inputs, "model": model, "parameters": parameters}
            call = read_call(TASKS[task], body, limits)
            async with deadline(own.timeout / 1000 if own.timeout else longest_ms) as own_s:
                deadline_s = min(latest_s, own_s)
                answered = await infer(request, call, registry, deadline_s=deadline_s)
        replies = TASKS[task].assemble(call.reading, answered.prediction.answers)
        assert isinstance(replies, list)  # as the inputs are one
        return _reply(asked, own, answered, replies)

    return router


async def _read(request: Request, settings: Settings) -> tuple[InferRequest, dict[str, list[str]]]:
    """The JSON part of a request, and its texts by input."""
    max_bytes = settings.max_body_bytes
    sent = await read_body(request, max_bytes=max_bytes, accepts=MEDIA_TYPE)
    encoding = request.headers.get("Content-Encoding", "")
    plain = decompress(sent, encoding, max_bytes=max_bytes)
    text, binary = split(plain, request.headers.get(JSON_LENGTH))
    asked = validate(InferRequest, parse_json(text))
    return asked, read_texts(asked.inputs, binary, max_texts=settings.max_texts_per_request)


def _check_names(asked: InferRequest, outputs: Sequence[Output]) -> None:
    known = [output.name for output in outputs]
    names = [output.name for output in asked.outputs]
    if len(set(names)) < len(names) or not set(names) <= set(known):
        detail = f"outputs may name {', '.join(known)}, each once"
        raise RequestError(Fault("malformed_body", detail, field="outputs"))


def _reply(
    asked: InferRequest, own: InferParameters, answered: Answered, replies: Sequence[object]
) -> Response:
    manifest = answered.model.manifest
    outputs = {output.name: output for output in oip_tasks.to_outputs(manifest, replies)}
    _check_names(asked, list(outputs.values()))  # another model than the default may have answered
    wanted = asked.outputs or [RequestedOutput(name=name) for name in outputs]
    as_binary = {
        output.name for output in wanted if output.is_binary(default=own.binary_data_output)
    }
    head = {
        "model_name": f"{manifest.task}.{manifest.model}",
        "model_version": str(manifest.version),
        **({} if asked.id is None else {"id": asked.id}),
    }
    body, json_length = write_reply(
        head, [outputs[output.name] for output in wanted], as_binary=as_binary
    )
    headers, media_type = answered.headers, "application/json"
    if json_length is not None:
        headers, media_type = headers | {JSON_LENGTH: str(json_length)}, BINARY
    return Response(body, headers=headers, media_type=media_type, background=answered.background)


def _json(content: BaseModel, status: int = 200) -> Response:
    return Response(content.model_dump_json(), status, media_type="application/json")
