"""Who may use which route, on which listener."""

from enum import Enum

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import CODES, Fault, Forbidden, RequestError, ServiceError, Unauthorized
from app.keys import KeyFile
from app.problems import error_response
from app.telemetry import record_of

PROBES = frozenset({"/livez", "/readyz", "/startupz", "/v2/health/live", "/v2/health/ready"})
METRICS = "/metrics"
PAGES = frozenset({"/", "/docs", "/openapi.json"})
"""They hold nothing about this service that its source does not."""

ADMIN = "/v2/repository"


class Need(Enum):
    """What a route asks of its caller."""

    NOTHING = "nothing"
    KEY = "key"
    ADMIN_KEY = "admin key"


def need_of(path: str) -> Need:
    """What a path asks for; whatever is not known to be open needs a key."""
    if is_below(path, ADMIN):
        return Need.ADMIN_KEY
    if path in PROBES or path == METRICS or path in PAGES or is_below(path, "/docs"):
        return Need.NOTHING
    return Need.KEY


def is_served(path: str, *, on_admin_port: bool) -> bool:
    """Whether a path is served on one of two listeners."""
    if path in PROBES:
        return True
    return on_admin_port == (path == METRICS or is_below(path, ADMIN))


def is_below(path: str, parent: str) -> bool:
    """Whether a path is `parent` or in it."""
    return path == parent or path.startswith(f"{parent}/")


class Guard:
    """Lets a request through, or answers it with 401, 403 or 404."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyFile | None,
        admin_keys: KeyFile | None,
        admin_port: int | None,
    ) -> None:
        """Wrap an application.

        Args:
            app: inside `Telemetry`.
            keys: None lets everybody use what needs a key.
            admin_keys: may do everything; None switches the admin routes off.
            admin_port: of a second listener, None if there is none.
        """
        self._app = app
        self._keys = keys
        self._admin_keys = admin_keys
        self._admin_port = admin_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ServiceError as error:
            record = record_of(Request(scope))
            record.error_code = error.code
            response = error_response(error, path=scope["path"], request_id=record.request_id)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Refuse what this caller may not use here.

        Raises:
            RequestError: no such route on this listener.
            Unauthorized: no key, or one that is not known.
            Forbidden: a key without the right.
        """
        path, need = scope["path"], need_of(scope["path"])
        if need is Need.ADMIN_KEY and self._admin_keys is None:
            raise _not_found()
        if self._admin_port is not None:
            _, port = scope["server"]
            if not is_served(path, on_admin_port=port == self._admin_port):
                raise _not_found()
        if need is Need.NOTHING or (need is Need.KEY and self._keys is None):
            return
        secret = _bearer(Headers(scope=scope).get("authorization", ""))
        if not secret:
            raise Unauthorized("a key is needed; send the header Authorization: Bearer <key>")
        admin = self._admin_keys.owner_of(secret) if self._admin_keys else None
        caller = admin or (self._keys.owner_of(secret) if self._keys else None)
        if caller is None:
            raise Unauthorized("this key is not known; ask the operator for a valid one")
        record_of(Request(scope)).fields["key"] = caller
        if need is Need.ADMIN_KEY and admin is None:
            raise Forbidden("this needs an admin key; the key that was sent is none")


def _bearer(header: str) -> bytes:
    scheme, _, secret = header.partition(" ")
    return secret.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


def _not_found() -> RequestError:
    return RequestError(Fault("not_found", f"{CODES['not_found'][1].lower()}; see /docs"))
