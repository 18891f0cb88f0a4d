"""One inference request over HTTP, in any protocol: deadline, disconnect, records, headers."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request
from starlette.types import Receive

from app.answering import Call, answer
from app.errors import ClientClosed, DeadlineExceeded, Fault, RequestError
from app.inference import Prediction
from app.loading import ServedModel
from app.registry import Registry
from app.telemetry import Record, record_of

TIMEOUT_HEADER = "X-Request-Timeout-Ms"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that a model has answered.

    Attributes:
        model: that answered.
        prediction: its answers.
        headers: of the reply.
    """

    model: ServedModel
    prediction: Prediction
    headers: dict[str, str]


def timeout_ms(request: Request, longest_ms: int) -> int:
    """The deadline of a request: the header may shorten the server's, never lengthen it."""
    sent = request.headers.get(TIMEOUT_HEADER)
    if sent is None:
        return longest_ms
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 12 and int(sent) > 0):
        detail = f"{TIMEOUT_HEADER} must be a whole number of milliseconds above 0"
        raise RequestError(Fault("invalid_header", detail, field=TIMEOUT_HEADER))
    return min(longest_ms, int(sent))


@asynccontextmanager
async def deadline(milliseconds: float) -> AsyncIterator[float]:
    """Cut what takes longer; yields the monotonic time of the cut.

    Raises:
        DeadlineExceeded: it took longer.
    """
    try:
        async with asyncio.timeout(milliseconds / 1000):
            yield time.monotonic() + milliseconds / 1000
    except TimeoutError:
        raise DeadlineExceeded(
            f"no answer within {milliseconds:g} ms; send less, or try again later"
        ) from None


async def infer(request: Request, call: Call, registry: Registry, *, deadline_s: float) -> Answered:
    """Answer a checked call while its client is there.

    Args:
        request: that brought it.
        call: what is asked.
        registry: has the model.
        deadline_s: monotonic time after which the answer is worth nothing.

    Raises:
        ServiceError: no model can be asked, or it did not answer.
    """
    record = record_of(request)
    model = await registry.obtain(call.task.name, call.model)
    _note_model(record, model)
    with model.holders.holding():
        prediction = await _unless_disconnected(
            request.receive, answer(call, model, deadline_s=deadline_s)
        )
    _note_prediction(record, prediction)
    return Answered(model, prediction, _headers(model, call, prediction))


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
