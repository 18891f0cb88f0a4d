"""Errors on the wire: `application/problem+json` (RFC 9457)."""

import orjson
from starlette.responses import Response

from app.errors import CODES, Fault, ServiceError, status_of

MEDIA_TYPE = "application/problem+json"


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
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return Response(orjson.dumps(content), status, headers, MEDIA_TYPE)


def _entry(fault: Fault) -> dict[str, object]:
    entry = {"code": fault.code, "detail": fault.detail, "index": fault.index, "field": fault.field}
    return {key: value for key, value in entry.items() if value is not None}
