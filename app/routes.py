"""The endpoints: request in, service call, reply out."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app import openapi, playground
from app.answering import read_call
from app.catalog import Catalog
from app.exchange import deadline, infer, timeout_ms
from app.health import Probes
from app.inputs import InputLimits, parse_json, read_body
from app.metrics import Metrics
from app.registry import Registry
from app.schemas import Health, ModelInfo, TaskInfo, TaskList
from app.settings import Settings
from app.tasks import TASKS
from app.tasks.task import Task
from app.telemetry import record_of

Endpoint = Callable[[Request], Awaitable[Response]]


def inference_routes(registry: Registry, settings: Settings) -> dict[str, Endpoint]:
    """Path -> what answers a `POST` to it, for every task; app/openapi.py documents them."""
    limits = InputLimits(
        settings.max_texts_per_request, settings.max_chars_per_text, settings.max_chars_per_context
    )

    def endpoint_of(task: Task[Any], path: str) -> Endpoint:

        async def endpoint(request: Request) -> Response:
            record = record_of(request)
            record.task, record.route = task.name, path
            registry.models(task.name)  # a task without any is unknown, whatever is asked of it
            async with deadline(timeout_ms(request, settings.request_timeout_ms)) as deadline_s:
                body = await read_body(request, max_bytes=settings.max_body_bytes)
                call = read_call(task, parse_json(body), limits)
                answered = await infer(request, call, registry, deadline_s=deadline_s)
            content = task.assemble(call.reading, answered.prediction.answers)
            return Response(
                orjson.dumps(content),
                headers=answered.headers,
                media_type="application/json",
                background=answered.background,
            )

        return endpoint

    paths = {f"/v1/{task.name}": task for task in TASKS.values()}
    return {path: endpoint_of(task, path) for path, task in paths.items()}


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
    content = playground.page(TASKS.values())

    @router.get("/", include_in_schema=False)
    async def show_playground() -> Response:
        return HTMLResponse(content)

    return router


def _json(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), media_type="application/json")


def _health(is_healthy: bool, report: Health) -> Response:
    status = 200 if is_healthy else 503
    return Response(report.model_dump_json(), status, media_type="application/json")
