"""From bytes to a checked request: media type, size, JSON, fields, texts.

Done here rather than by the framework so that every refusal has our code, names the input, and
never repeats its text.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from app.contract.encoded_text import Input, Text
from app.contract.normalization import MAX_MARKS, has_too_many_marks
from app.errors import ClientClosed, Fault, RequestError, shown

MAX_FIELDS = 32
"""In one JSON object; more is refused before any of them is looked at."""

JSON_MEDIA_TYPE = re.compile(r"application/([\w.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class InputLimits:
    """How many inputs a request may hold, and how many code points each."""

    max_texts: int
    max_chars: int
    max_context_chars: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The checked inputs of a request.

    Attributes:
        inputs: in order.
        owners: the caller's input that each belongs to, counted from 0; not always one to one, as
            a sentence may be compared with many.
        is_single: whether the caller sent just one outside of any list.
    """

    inputs: Sequence[Input]
    owners: Sequence[int]
    is_single: bool


async def read_body(
    request: Request, *, max_bytes: int, accepts: re.Pattern[str] = JSON_MEDIA_TYPE
) -> bytes:
    """Read the body of a request.

    Args:
        request: whose body was not read yet.
        max_bytes: longest body.
        accepts: media types.

    Raises:
        RequestError: declared as something else, or longer than `max_bytes`.
        ClientClosed: it went away before the end.
    """
    if not accepts.fullmatch(request.headers.get("content-type", "")):
        detail = "the body must be JSON; send the header Content-Type: application/json"
        raise RequestError(Fault("unsupported_media_type", detail, field="Content-Type"))
    length = request.headers.get("content-length", "")
    too_large = Fault("body_too_large", f"the body may have at most {max_bytes} bytes")
    if length.isdecimal() and int(length) > max_bytes:
        raise RequestError(too_large)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise RequestError(too_large)
    except ClientDisconnect:
        raise ClientClosed("the client closed the connection within the body") from None
    return bytes(body)


def parse_json(body: bytes) -> object:
    r"""Parse JSON.

    Escaped lone surrogates ("\ud800") are well-formed JSON, but orjson refuses them; the standard
    library reads them, and the check of the texts can say what is wrong.

    Raises:
        RequestError: not JSON in UTF-8, or nested too deeply.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        fault = Fault("invalid_json", f"the body is not JSON (at character {error.pos})")
    if rb"\ud" in body.lower():
        try:
            return json.loads(body.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            pass
    raise RequestError(fault)


def validate(model: type[Body], content: object) -> Body:
    """Check the fields of a request.

    Raises:
        RequestError: a field is unknown, missing or of the wrong type; all of them are named.
    """
    if not isinstance(content, dict):
        detail = f'the body must be an object like {{"inputs": "..."}}, got {kind_of(content)}'
        raise RequestError(Fault("invalid_request", detail))
    for part in (content, *content.values()):
        if isinstance(part, dict) and len(part) > MAX_FIELDS:
            detail = f"an object of the body has {len(part)} fields, more than {MAX_FIELDS}"
            raise RequestError(Fault("invalid_request", detail))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RequestError(
            *(
                _fault(entry["type"], [str(part) for part in entry["loc"]], entry["msg"])
                for entry in error.errors(
                    include_url=False, include_input=False, include_context=False
                )
            )
        ) from None


def read_texts(inputs: object, *, split: bool, limits: InputLimits) -> Reading:
    """Check `inputs`.

    Args:
        inputs: as parsed.
        split: whether one input is a list of words instead of a text.
        limits: of count and length.

    Raises:
        RequestError: every input that cannot be read, with its index.
    """
    one = "a list of words" if split else "a text"
    if isinstance(inputs, str) and split:
        detail = "with is_split_into_words an input is a list of words, got a string"
        raise RequestError(Fault("invalid_request", detail, field="inputs"))
    if not isinstance(inputs, str | list):
        detail = f"inputs must be {one} or a list of those, got {kind_of(inputs)}"
        raise RequestError(Fault("invalid_request", detail, field="inputs"))
    if not inputs and isinstance(inputs, list):
        raise RequestError(Fault("no_inputs", "inputs is an empty list", field="inputs"))
    # With words, a list of strings is one input; with a list among them it is a faulty batch.
    single = isinstance(inputs, str) or (split and all(isinstance(x, str) for x in inputs))
    texts: list[Text] = [inputs] if single else list(inputs)
    if len(texts) > limits.max_texts:
        detail = f"{len(texts)} inputs, at most {limits.max_texts} are taken in one request"
        raise RequestError(Fault("too_many_inputs", detail, field="inputs"))
    faults = [
        Fault(*found, index=index, field="inputs")
        for index, text in enumerate(texts)
        if (found := _check_text(text, split=split, max_chars=limits.max_chars))
    ]
    if faults:
        raise RequestError(*faults)
    return Reading(texts, range(len(texts)), single)


def _check_text(text: object, *, split: bool, max_chars: int) -> tuple[str, str] | None:
    """Error code and detail, or None."""
    if not split:
        if not isinstance(text, str):
            hint = "; set parameters.is_split_into_words" if isinstance(text, list) else ""
            return "invalid_request", f"an input must be a string, got {kind_of(text)}{hint}"
        return check_chars(text, max_chars)
    if not isinstance(text, list):
        return "invalid_request", f"an input must be a list of words, got {kind_of(text)}"
    odd = next((word for word in text if not isinstance(word, str)), None)
    if odd is not None or None in text:
        return "invalid_request", f"a word must be a string, got {kind_of(odd)}"
    return check_chars(" ".join(text), max_chars)


def check_chars(text: str, max_chars: int, *, what: str = "an input") -> tuple[str, str] | None:
    """Error code and detail of a text that cannot be read, or None.

    Args:
        text: to be checked.
        max_chars: longest that is taken, code points.
        what: the caller calls it.
    """
    if len(text) > max_chars:
        return (
            "text_too_long",
            f"{what} has {len(text)} characters, at most {max_chars} are taken",
        )
    if "\0" in text:
        return "invalid_text", f"{what} has a NUL character (U+0000)"
    if LONE_SURROGATE.search(text):
        return "invalid_text", f"{what} has half of a surrogate pair (U+D800 to U+DFFF)"
    if has_too_many_marks(text):
        return "invalid_text", f"{what} has more than {MAX_MARKS} combining marks in a row"
    if not text or text.isspace():
        return "empty_text", f"{what} is empty or has only white space"
    return None


def _fault(kind: str, place: Sequence[str], message: str) -> Fault:
    """One of pydantic's errors in our words; its messages never quote the value."""
    field = ".".join(p if re.fullmatch(r"\w{1,40}", p, re.ASCII) else shown(p) for p in place)
    in_parameters = len(place) > 1 and place[0] == "parameters"
    if kind == "extra_forbidden":
        what = "parameter" if in_parameters else "field"
        return Fault(f"unknown_{what}", f"{shown(place[-1])} is not a known {what}", field=field)
    code = "invalid_parameter" if in_parameters else "invalid_request"
    return Fault(code, f"{field}: {message[:1].lower()}{message[1:]}", field=field)


def kind_of(value: object) -> str:
    """JSON's name for the type of a value."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python, not JSON
