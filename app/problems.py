"""Errors on the wire: `application/problem+json` (RFC 9457), under /v2 as its protocol says."""

import orjson
from starlette.responses import Response

from app.errors import CODES, Fault, ServiceError, status_of

MEDIA_TYPE = "application/problem+json"
UNAUTHORIZED = 401


def error_response(error: ServiceError, *, path: str, request_id: str) -> Response:
    """The response that reports an error, in the form that callers of this path know."""
    response = problem(error, request_id=request_id)
    if path != "/v2" and not path.startswith("/v2/"):
        return response
    headers = dict(response.headers)
    del headers["content-length"], headers["content-type"]
    content = orjson.dumps({"error": str(error)})
    return Response(content, response.status_code, headers, "application/json")


def problem(error: ServiceError, *, request_id: str) -> Response:
    """The response that reports an error."""
    status = status_of(error.code)
    detail = str(error)
    content = {
        "type": f"urn:loyal:error:{error.code}",
        "title": CODES[error.code][1] if error.code in CODES else "The input is not valid",
        "status": status,
        "detail": detail,
        "instance": request_id,
        "code": error.code,
        "errors": [_entry(fault) for fault in error.faults],
    }
    # Hugging Face's clients show this header; a header holds one line of Latin-1.
    line = " ".join(detail.encode("ascii", "backslashreplace").decode().split())
    headers = {"X-Error-Message": line}
    if status == UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return Response(orjson.dumps(content), status, headers, MEDIA_TYPE)


def _entry(fault: Fault) -> dict[str, object]:
    entry = {"code": fault.code, "detail": fault.detail, "index": fault.index, "field": fault.field}
    return {key: value for key, value in entry.items() if value is not None}
