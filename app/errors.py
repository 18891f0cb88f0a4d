"""What the service can answer instead of a result, and the one table from code to HTTP status.

Exception                      raised by            code -> status: CODES
|- InputError (app.contract)   encoding             the caller's text: 422
|- ServiceError
    |- RequestError            inputs, registry, cascade   the caller can mend it: 400 to 431
    |- QueueFull               batching             429, with Retry-After
    |- InferenceFailed         batching             500, of one input; its neighbours do not fail
    |- Unavailable             registry, batching   503, with Retry-After where waiting helps
    |- DeadlineExceeded        routes               504
    |- ClientClosed            routes               nobody reads the answer; 499 in metrics and logs
    |- Unauthorized            access               401, with WWW-Authenticate
    |- Forbidden               access               403
    |- StoreConflict           repository           409: what is in the store, or serves, forbids it
|- StartupError                settings, store      never reaches HTTP: one line and an exit code
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.contract.errors import InputError

CODES: dict[str, tuple[int, str]] = {
    "invalid_json": (400, "The body is not JSON"),
    "invalid_http": (400, "This is not HTTP/1.1"),
    "unauthorized": (401, "A valid key is needed"),
    "forbidden": (403, "The key does not allow this"),
    "malformed_body": (400, "The body breaks the Open Inference Protocol"),
    "not_found": (404, "No such route"),
    "unknown_task": (404, "Unknown task"),
    "unknown_model": (404, "Unknown model"),
    "unknown_version": (404, "Unknown version"),
    "method_not_allowed": (405, "Method not allowed"),
    "load_failed": (409, "The model could not be loaded"),
    "model_needed": (409, "The model is still needed"),
    "aliases_unusable": (409, "The aliases cannot be used"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "invalid_request": (422, "The request is not as documented"),
    "invalid_header": (422, "A header has no valid value"),
    "unknown_field": (422, "Unknown field"),
    "unknown_parameter": (422, "Unknown parameter"),
    "invalid_parameter": (422, "A parameter has no valid value"),
    "no_inputs": (422, "There is nothing to answer"),
    "too_many_inputs": (422, "Too many inputs"),
    "empty_text": (422, "A text is empty"),
    "text_too_long": (422, "A text is too long"),
    "invalid_text": (422, "A text is not valid Unicode text"),
    "request_too_long": (422, "The inputs together are too long"),
    "no_confidence": (422, "The task has no cascade: its models cannot doubt"),
    "no_teacher": (422, "The task has no cascade: there is no teacher to ask"),
    "not_calibrated": (422, "The task has no cascade: its default model is not calibrated"),
    "queue_full": (429, "Too many requests are waiting"),
    "head_too_large": (431, "The headers are too large"),
    "client_closed": (499, "The client closed the connection"),
    "inference_failed": (500, "The model failed on this input"),
    "internal_error": (500, "The service failed"),
    "model_loading": (503, "The model is still loading"),
    "model_unavailable": (503, "The model is out of service"),
    "draining": (503, "The service is shutting down"),
    "too_many_connections": (503, "Too many connections are open"),
    "deadline_exceeded": (504, "The deadline passed"),
}
"""Error code -> HTTP status, title. Codes are part of the public interface: never reuse one."""

V2_CODES = frozenset({"malformed_body", "load_failed", "model_needed", "aliases_unusable"})
"""Those that only /v2 answers with."""

CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}
"""For what the router refuses by itself."""

RETRY_AFTER_S = {"draining": 5, "too_many_connections": 1}
"""Error code -> seconds, where it is not computed."""

SHOWN_CHARS = 40
"""Of a name that the caller sent."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request.

    Attributes:
        code: key of CODES.
        detail: one line for people.
        index: position of the input, counted from 0; None if it is not about one input.
        field: where in the body or the headers.
    """

    code: str
    detail: str
    index: int | None = None
    field: str | None = None


class ServiceError(Exception):
    """Base of everything that has a code; its text goes to the caller as it is."""

    code = "internal_error"
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class RequestError(ServiceError):
    """A request that the caller can mend; its first fault gives code and detail."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(faults[0].detail, faults=faults)
        self.code = faults[0].code


class QueueFull(ServiceError):
    """A model has as much waiting as it may have."""

    code = "queue_full"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class InferenceFailed(ServiceError):
    """The graph failed on one item.

    Attributes:
        position: of the item among those submitted together.
    """

    code = "inference_failed"

    def __init__(self, position: int, *, index: int | None = None) -> None:
        detail = "the model failed on this input; the other inputs are not affected"
        faults = [] if index is None else [Fault(self.code, detail, index, "inputs")]
        super().__init__(detail, faults=faults)
        self.position = position


class Unavailable(ServiceError):
    """A model, or the whole service, takes no requests."""

    def __init__(self, code: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.retry_after_s = retry_after_s or RETRY_AFTER_S.get(code)


class DeadlineExceeded(ServiceError):
    """The answer would have come too late."""

    code = "deadline_exceeded"


class ClientClosed(ServiceError):
    """The client went away before the answer."""

    code = "client_closed"


class Unauthorized(ServiceError):
    """No key, or one that is not known."""

    code = "unauthorized"


class Forbidden(ServiceError):
    """A key that does not give the right."""

    code = "forbidden"


class StoreConflict(ServiceError):
    """A store operation that was not done; what serves, serves on."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class StartupError(Exception):
    """The service cannot start; the text is one line for the operator.

    Attributes:
        exit_code: 1 for the surroundings, 2 for a wrong setting.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def status_of(code: str) -> int:
    """The HTTP status of an error code; an input code unknown here is the caller's to mend, 422."""
    return CODES[code][0] if code in CODES else 422


def from_input_error(error: InputError) -> RequestError:
    """The contract's refusal of a text as a fault of the request."""
    field = "parameters" if error.code == "invalid_parameter" else "inputs"
    index = None if error.code == "invalid_parameter" else error.index
    if error.part:
        field = f"{field}.{error.part}"
    return RequestError(Fault(error.code, str(error), index, field))


def shown(name: str) -> str:
    """A name that the caller sent, quoted, cut and safe for a header."""
    return ascii(name if len(name) <= SHOWN_CHARS else name[:SHOWN_CHARS] + "...")
