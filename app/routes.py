"""The endpoints: request in, service call, reply out."""

import asyncio
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from app import openapi, playground
from app.answering import Call, answer, read_call
from app.catalog import Catalog
from app.errors import ClientClosed, DeadlineExceeded, Fault, RequestError
from app.health import Probes
from app.inference import Prediction
from app.inputs import InputLimits, parse_json, read_body
from app.loading import ServedModel
from app.metrics import Metrics
from app.registry import Registry
from app.schemas import Health, ModelInfo, TaskInfo, TaskList
from app.settings import Settings
from app.tasks import TASKS
from app.tasks.task import Task
from app.telemetry import Record, record_of

TIMEOUT_HEADER = "X-Request-Timeout-Ms"

T = TypeVar("T")


def inference_routes(registry: Registry, settings: Settings) -> list[Route]:
    """`POST /v1/{task}` for every task.

    Plain routes: FastAPI's own would read nothing of these requests (app/inputs.py does) and cost
    time in each; app/openapi.py documents them.
    """
    limits = InputLimits(
        settings.max_texts_per_request, settings.max_chars_per_text, settings.max_chars_per_context
    )

    def route(task: Task[Any]) -> Route:
        path = f"/v1/{task.name}"

        async def infer(request: Request) -> Response:
            record = record_of(request)
            record.task, record.route = task.name, path
            timeout_s = _timeout_ms(request, settings.request_timeout_ms) / 1000
            deadline_s = time.monotonic() + timeout_s
            try:
                async with asyncio.timeout(timeout_s):
                    body = await read_body(request, max_bytes=settings.max_body_bytes)
                    call = read_call(task, parse_json(body), limits)
                    model = await registry.obtain(task.name, call.model)
                    _note_model(record, model)
                    with model.holders.holding():
                        prediction = await _unless_disconnected(
                            request.receive, answer(call, model, deadline_s=deadline_s)
                        )
            except TimeoutError:
                raise DeadlineExceeded(
                    f"no answer within {timeout_s * 1000:g} ms; send less, or try again later"
                ) from None
            _note_prediction(record, prediction)
            content = task.assemble(call.reading, prediction.answers)
            headers = _headers(model, call, prediction)
            return Response(orjson.dumps(content), headers=headers, media_type="application/json")

        return Route(path, infer, methods=["POST"], name=task.name)

    return [route(task) for task in TASKS.values()]


def model_routes(catalog: Catalog) -> APIRouter:
    """`GET /v1/models`."""
    router = APIRouter(prefix="/v1/models", tags=["models"])
    describe = partial(router.get, response_model=None)

    @describe("", summary="All models", responses=openapi.returns(TaskList))
    async def list_models() -> Response:
        """Every model of every task: labels, limits, quality, state."""
        return _json(catalog.tasks())

    @describe("/{task}", summary="The models of a task", responses=openapi.returns(TaskInfo, 404))
    async def list_task(task: str) -> Response:
        """Every version of every model of one task."""
        return _json(catalog.task(task))

    @describe(
        "/{task}/{model}", summary="One model", responses=openapi.returns(ModelInfo, 404, 503)
    )
    async def show_model(task: str, model: str) -> Response:
        """One model by name, `name:version` or alias."""
        return _json(catalog.model(task, model))

    return router


def operations_routes(probes: Probes, metrics: Metrics) -> APIRouter:
    """Probes and metrics."""
    router = APIRouter(tags=["operations"])
    health = openapi.returns(Health) | {503: {"model": Health, "description": "Not now"}}
    probe = partial(router.get, response_model=None, responses=health)

    @probe("/livez", summary="Is the process alive?")
    async def livez() -> Response:
        """503 if only a restart can help."""
        return _health(*probes.live())

    @probe("/startupz", summary="Have the default models been loaded?")
    async def startupz() -> Response:
        """503 until every task's default model has been ready once."""
        return _health(*probes.started())

    @probe("/readyz", summary="Should requests come here?")
    async def readyz() -> Response:
        """503 while starting, while shutting down, and while a default model is out of service."""
        return _health(*probes.ready())

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_model=None,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        response_class=Response,
    )
    async def show_metrics() -> Response:
        """Counters, gauges and histograms, all prefixed loyal_."""
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def page_routes() -> APIRouter:
    """The playground."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def show_playground() -> Response:
        return HTMLResponse(playground.PAGE)

    return router


def _timeout_ms(request: Request, longest_ms: int) -> int:
    """The deadline of a request: the header may shorten the server's, never lengthen it."""
    sent = request.headers.get(TIMEOUT_HEADER)
    if sent is None:
        return longest_ms
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 12 and int(sent) > 0):
        detail = f"{TIMEOUT_HEADER} must be a whole number of milliseconds above 0"
        raise RequestError(Fault("invalid_header", detail, field=TIMEOUT_HEADER))
    return min(longest_ms, int(sent))


async def _unless_disconnected(receive: Receive, work: Coroutine[object, object, T]) -> T:
    """Await `work`; cancel it when the client goes away.

    Raises:
        ClientClosed: it went away.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientClosed("the client closed the connection before the answer")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _note_model(record: Record, model: ServedModel) -> None:
    record.model, record.version = model.manifest.model, str(model.manifest.version)
    record.fields["model"] = model.manifest.name


def _note_prediction(record: Record, prediction: Prediction) -> None:
    record.stages = prediction.stages
    record.fields |= {
        "inputs": len(prediction.answers),
        "tokens": prediction.num_tokens,
        "tokenization_ms": round(prediction.tokenization_s * 1000, 2),
        "queue_ms": round(prediction.queue_s * 1000, 2),
        "inference_ms": round(prediction.inference_s * 1000, 2),
    }


def _headers(model: ServedModel, call: Call, prediction: Prediction) -> dict[str, str]:
    headers = {
        "X-Model": model.manifest.name,
        "X-Tokenization-Time": f"{prediction.tokenization_s * 1000:.2f}",
        "X-Queue-Time": f"{prediction.queue_s * 1000:.2f}",
        "X-Inference-Time": f"{prediction.inference_s * 1000:.2f}",
    }
    if prediction.truncated:
        owners = (call.reading.owners[position] for position in prediction.truncated)
        headers["X-Truncated"] = ",".join(map(str, dict.fromkeys(owners)))
    return headers


def _json(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), media_type="application/json")


def _health(is_healthy: bool, report: Health) -> Response:
    status = 200 if is_healthy else 503
    return Response(report.model_dump_json(), status, media_type="application/json")
