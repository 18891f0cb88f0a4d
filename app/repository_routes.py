"""Store operations over HTTP: the model repository extension of the Open Inference Protocol."""

from functools import partial
from typing import TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from app.errors import Fault, RequestError
from app.inputs import parse_json, read_body, validate
from app.loading import Entry
from app.oip_openapi import returns, takes
from app.oip_routes import MEDIA_TYPE
from app.oip_schemas import (
    IndexEntry,
    IndexRequest,
    LoadParameters,
    LoadReply,
    LoadRequest,
    UnloadParameters,
    UnloadRequest,
)
from app.registry import Registry
from app.repository import Loaded, Repository, Role

MAX_BYTES = 10_000
"""Of a body; these are small whatever the models take."""

INDEX = TypeAdapter(list[IndexEntry])

Body = TypeVar("Body", bound=BaseModel)


def repository_routes(registry: Registry, repository: Repository) -> APIRouter:
    """`POST /v2/repository/...`, for operators only."""
    router = APIRouter(prefix="/v2/repository", tags=["store operations"])
    errors = (400, 404, 409, 413, 415, 422)
    post = partial(router.post, response_model=None)

    async def read(request: Request, body: type[Body]) -> Body:
        sent = await read_body(request, max_bytes=MAX_BYTES, accepts=MEDIA_TYPE)
        return validate(body, parse_json(sent) if sent else {})

    @post(
        "/index",
        summary="What is in the store",
        responses=returns(list[IndexEntry], 400, 413, 415, 422),
        openapi_extra=takes(IndexRequest),
    )
    async def list_store(request: Request) -> Response:
        """Every version that was found, with its state."""
        asked = await read(request, IndexRequest)
        entries = [
            _describe(entry)
            for entry in sorted(registry, key=lambda e: (e.task, e.model, e.version))
            if entry.state == "ready" or not asked.ready
        ]
        return Response(INDEX.dump_json(entries), media_type="application/json")

    @post(
        "/models/{name}/load",
        summary="Load a model",
        responses=returns(LoadReply, *errors),
        openapi_extra=takes(LoadRequest),
    )
    async def load(request: Request, name: str) -> Response:
        """Load a version beside what serves, then let names mean it; a faulty one changes nothing.

        For `<task>.<model>`: its newest version in the store, or the one that is asked for. For
        `<task>`: read aliases.json again and load what it names.
        """
        asked = (await read(request, LoadRequest)).parameters or LoadParameters()
        task, _, model = name.partition(".")
        if model:
            role = Role(asked.default, asked.canary_weight) if asked.gives_role else None
            loaded = await repository.load(task, model, version=asked.version, role=role)
        elif asked != LoadParameters():
            detail = "parameters are taken with <task>.<model>; <task> alone reads its aliases"
            raise RequestError(Fault("invalid_parameter", detail, field="parameters"))
        else:
            loaded = await repository.reload_aliases(task)
        return Response(_describe_load(loaded).model_dump_json(), media_type="application/json")

    @post(
        "/models/{name}/unload",
        summary="Unload a model",
        responses=returns(dict[str, str], *errors),
        openapi_extra=takes(UnloadRequest),
    )
    async def unload(request: Request, name: str) -> Response:
        """Take a model, or one version, out of service; wait for its last request."""
        asked = (await read(request, UnloadRequest)).parameters or UnloadParameters()
        task, _, model = name.partition(".")
        await repository.unload(task, model or None, version=asked.version)
        return Response(b"{}", media_type="application/json")

    return router


def _describe(entry: Entry) -> IndexEntry:
    states = {"ready": "READY", "loading": "LOADING"}
    return IndexEntry.model_validate(
        {
            "name": f"{entry.task}.{entry.model}",
            "version": str(entry.version),
            "state": states.get(entry.state, "UNAVAILABLE"),
            "reason": entry.reason or ("not loaded" if entry.state == "unloaded" else ""),
        }
    )


def _describe_load(loaded: Loaded) -> LoadReply:
    entry = loaded.entry
    return LoadReply(
        name=f"{entry.task}.{entry.model}",
        version=str(entry.version),
        aliases=loaded.aliases.model_dump(exclude_none=True) if loaded.aliases else None,
        aliases_written=loaded.is_persistent,
    )
