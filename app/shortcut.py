"""Inference past the framework: its layers and its router cost as much as encoding a sentence.

The framework still has the paths, for every other method and for whoever lists its routes; the
layers of our own, whose order app/main.py knows, are around both ways.
"""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.contract.errors import InputError
from app.errors import ServiceError
from app.routes import Endpoint


class Inference:
    """Answers the inference routes, and nothing else."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        on_error: Callable[[Request, ServiceError | InputError], Response],
    ) -> None:
        """Take the endpoints by path, and what makes a reply of an error."""
        self._endpoints = endpoints
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request to a known path."""
        request = Request(scope, receive, send)
        try:
            response = await self._endpoints[scope["path"]](request)
        except (ServiceError, InputError) as error:
            response = self._on_error(request, error)
        await response(scope, receive, send)


class Shortcut:
    """The outermost fork: inference one way, everything else through the framework."""

    def __init__(self, paths: frozenset[str], *, inference: ASGIApp, framework: ASGIApp) -> None:
        """Fork at a `POST` to one of the paths; both ways have our layers around them."""
        self._paths = paths
        self._inference = inference
        self._framework = framework

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_inference = scope["type"] == "http" and scope["method"] == "POST"
        way = self._inference if is_inference and scope["path"] in self._paths else self._framework
        await way(scope, receive, send)
