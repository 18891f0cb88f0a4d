"""The application: models, routes, error handlers, and their life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app import oip_routes, openapi, routes
from app.access import Guard
from app.catalog import Catalog
from app.contract.errors import InputError
from app.docs import docs_routes
from app.engine import choose_provider
from app.errors import CODE_OF_STATUS, CODES, Fault, RequestError, ServiceError, from_input_error
from app.health import Probes
from app.keys import KeyFile
from app.metrics import Metrics
from app.openvino_session import require_openvino
from app.problems import error_response
from app.registry import Registry
from app.repository import Repository
from app.repository_routes import repository_routes
from app.sessions import usable_threads
from app.settings import Settings
from app.shortcut import Inference, Shortcut
from app.store import scan
from app.tasks import TASKS
from app.telemetry import Telemetry, Trace, record_of

DESCRIPTION = (
    "Small distilled models for natural language, served fast. Bodies are those of the Hugging "
    "Face Inference API; offsets are Unicode code points of the text as sent, end exclusive."
)


OPENAPI = "/openapi.json"
REQUEST_HEADERS = (
    "Authorization",
    "Content-Encoding",
    "Inference-Header-Content-Length",
    "X-Request-Id",
    "X-Request-Timeout-Ms",
    "X-SLO-Ms",
    "traceparent",
)
REPLY_HEADERS = (
    "Inference-Header-Content-Length",
    "Retry-After",
    "X-Answered-By",
    "X-Error-Message",
    "X-Inference-Time",
    "X-Model",
    "X-Queue-Time",
    "X-Request-Id",
    "X-SLO-Met",
    "X-Tokenization-Time",
    "X-Total-Time",
    "X-Truncated",
)
"""What pages of LOYAL_CORS_ORIGINS may send and read, beside the headers that always pass."""


class Application(FastAPI):
    """FastAPI with our OpenAPI document, made when it is first asked for."""

    is_keyed = False

    def openapi(self) -> dict[str, object]:
        """The document."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.document(self, is_keyed=self.is_keyed)
        return self.openapi_schema


@dataclass(frozen=True, slots=True)
class Service:
    """The application and the parts of it that its server steers.

    Attributes:
        app: what a server serves.
        framework: the part of it that answers everything but inference under /v1.
        registry: the models.
        repository: changes them while requests run.
        probes: health.
    """

    app: ASGIApp
    framework: FastAPI
    registry: Registry
    repository: Repository
    probes: Probes


def create_service(settings: Settings, *, trace: Trace | None = None) -> Service:
    """Build the application; models load once it runs.

    Args:
        settings: with the ports that it listens on, none of them 0.
        trace: reports requests as spans.

    Raises:
        StartupError: the model store, the provider, the runtime or a key file cannot be used.
    """
    provider = choose_provider(settings.provider)
    if settings.runtime == "openvino":
        require_openvino()
    metrics = Metrics()
    metrics.build_info.labels(_release()).set(1)
    shelves = scan(settings.model_store, TASKS)
    registry = Registry(
        shelves, settings, metrics, threads=settings.threads or usable_threads(provider)
    )
    repository = Repository(registry, settings.model_store)
    probes = Probes(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Probes answer while models load.
        loading = asyncio.create_task(registry.load_all())
        yield
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
        registry.stop()
        registry.close()

    app = Application(
        title="Loyal",
        version=_release(),
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=OPENAPI if settings.docs else None,
        docs_url=None,
        redoc_url=None,
        # FastAPI's own: it would send the messages of exceptions to whatever provider is installed.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    endpoints = routes.inference_routes(registry, settings)
    # For other methods, which are refused here; POST takes the shortcut.
    app.router.routes.extend(
        Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()
    )
    app.include_router(routes.model_routes(Catalog(registry, settings)))
    app.include_router(routes.operations_routes(probes, metrics))
    app.include_router(oip_routes.protocol_routes(registry, probes, release=_release()))
    app.include_router(oip_routes.tensor_routes(registry, settings))
    app.include_router(
        repository_routes(registry, repository),
        include_in_schema=settings.admin_keys_file is not None,
    )
    if settings.docs:
        app.include_router(routes.page_routes())
        app.include_router(docs_routes(title=app.title, openapi_url=OPENAPI))
    _handle_errors(app, registry)
    inference: ASGIApp = Inference(endpoints, respond)
    layers = [
        *_access_layers(app, settings),
        Middleware(Telemetry, metrics=metrics, probes=probes, trace=trace),
    ]
    for layer in layers:
        app.add_middleware(layer.cls, *layer.args, **layer.kwargs)
        inference = layer.cls(inference, *layer.args, **layer.kwargs)
    shortcut = Shortcut(frozenset(endpoints), inference=inference, framework=app)
    return Service(shortcut, app, registry, repository, probes)


def _access_layers(app: Application, settings: Settings) -> list[Middleware]:
    """Who may call, and from which web pages; the innermost first.

    Raises:
        StartupError: a key file cannot be used.
    """
    keys, admin_keys = (
        KeyFile(path) if path else None
        for path in (settings.api_keys_file, settings.admin_keys_file)
    )
    app.is_keyed = keys is not None
    layers = [Middleware(Guard, keys=keys, admin_keys=admin_keys, admin_port=settings.admin_port)]
    if settings.cors_origins:
        # Outside of the guard: browsers ask first without a key, and may read refusals.
        cors = Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=REQUEST_HEADERS,
            expose_headers=REPLY_HEADERS,
        )
        layers.append(cors)
    return layers


def respond(request: Request, error: ServiceError | InputError) -> Response:
    """The reply to a request that fails: problem+json, or what its protocol has for it."""
    failed = from_input_error(error) if isinstance(error, InputError) else error
    record = record_of(request)
    record.error_code = failed.code
    return error_response(failed, path=request.scope["path"], request_id=record.request_id)


def _handle_errors(app: FastAPI, registry: Registry) -> None:
    """Answer every error that a route or the router raises."""

    @app.exception_handler(ServiceError)
    @app.exception_handler(InputError)
    async def on_error(request: Request, error: ServiceError | InputError) -> Response:
        return respond(request, error)

    @app.exception_handler(HTTPException)
    async def on_router_error(request: Request, error: HTTPException) -> Response:
        code = CODE_OF_STATUS.get(error.status_code, "internal_error")
        detail = f"{CODES[code][1].lower()}; see /docs"
        parts = request.url.path.split("/")
        if code == "not_found" and parts[1] == "v1" and len(parts) == 3:
            code = "unknown_task"
            detail = f"no such task is served; known are {', '.join(registry.tasks)}"
        response = respond(request, RequestError(Fault(code, detail)))
        response.headers.update(error.headers or {})
        return response


def _release() -> str:
    try:
        return version("loyal")
    except PackageNotFoundError:  # run from a source tree
        return "0+source"
