"""One inference request over HTTP, in any protocol: deadline, disconnect, records, headers."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.types import Receive

from app.answering import Call, answer
from app.auto import choose_model
from app.cascade import Reply, answer_by_cascade, obtain_student
from app.contract.manifest import AUTO, CASCADE, RESERVED
from app.errors import ClientClosed, DeadlineExceeded, Fault, RequestError, ServiceError
from app.inference import Prediction
from app.loading import ServedModel
from app.registry import Registry
from app.shadow import Sample, drop
from app.store import TEACHER
from app.telemetry import Record, record_of

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
SLO_HEADER = "X-SLO-Ms"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that a model has answered.

    Attributes:
        model: that answered.
        prediction: its answers.
        headers: of the reply.
        background: what is left to do once the reply was sent.
    """

    model: ServedModel
    prediction: Prediction
    headers: dict[str, str]
    background: BackgroundTask | None = None


def timeout_ms(request: Request, longest_ms: int) -> int:
    """The deadline of a request: the header may shorten the server's, never lengthen it."""
    return min(longest_ms, _milliseconds(request, TIMEOUT_HEADER) or longest_ms)


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
    slo_s = _slo_s(request) if call.model == AUTO else None
    model = await _first_asked(call, registry, due_s=min(deadline_s, record.start_s + (slo_s or 0)))
    _note_model(record, model)
    with model.holders.holding():
        reply = await _unless_disconnected(
            request.receive, _ask(call, model, registry, deadline_s=deadline_s)
        )
    _note_prediction(record, reply.prediction)
    headers = _headers(model, call, reply.prediction)
    if call.model in RESERVED:
        headers["X-Answered-By"] = reply.answered_by
    if slo_s is not None:
        is_met = time.monotonic() - record.start_s <= slo_s
        model.metrics.auto_requests["met" if is_met else "missed"].inc()
        headers["X-SLO-Met"] = str(is_met).lower()
    background = None
    if registry.shadow.takes(record.request_id):
        background = BackgroundTask(_compare, Sample(call, model, reply.own), registry)
    return Answered(model, reply.prediction, headers, background)


async def _compare(sample: Sample, registry: Registry) -> None:
    """Have a sample compared with its teacher's answer, unless the teacher itself gave it."""
    task, student = sample.call.task.name, sample.student
    if TEACHER not in registry.targets(task):
        return
    try:
        teacher = registry.resolve(task, TEACHER)
    except ServiceError:
        drop(sample, "unavailable")
        return
    if not any(entry.served is student for entry in registry.versions(task)):
        drop(sample, "swapped")
    elif teacher is not student:
        registry.shadow.start(sample, teacher)


async def _first_asked(call: Call, registry: Registry, *, due_s: float) -> ServedModel:
    """The model that a call goes to; `due_s` is the monotonic time by which `auto` chooses."""
    if call.model == AUTO:
        return await choose_model(call, registry, left_s=due_s - time.monotonic())
    if call.model == CASCADE:
        return await obtain_student(call.task.name, registry)
    return await registry.obtain(call.task.name, call.model)


async def _ask(call: Call, model: ServedModel, registry: Registry, *, deadline_s: float) -> Reply:
    if call.model == CASCADE:
        return await answer_by_cascade(call, model, registry, deadline_s=deadline_s)
    prediction = await answer(call, model, deadline_s=deadline_s)
    return Reply(prediction, prediction, model.manifest.name)


def _slo_s(request: Request) -> float:
    """The time limit by which `auto` chooses, seconds."""
    milliseconds = _milliseconds(request, SLO_HEADER)
    if milliseconds is None:
        detail = (
            f"with the model {AUTO} the header {SLO_HEADER} must say within how many milliseconds "
            "the answer is needed"
        )
        raise RequestError(Fault("invalid_header", detail, field=SLO_HEADER))
    return milliseconds / 1000


def _milliseconds(request: Request, header: str) -> int | None:
    """The value of a header; None if it was not sent."""
    sent = request.headers.get(header)
    if sent is None:
        return None
    if not (sent.isascii() and sent.isdecimal() and len(sent) <= 12 and int(sent) > 0):
        detail = f"{header} must be a whole number of milliseconds above 0"
        raise RequestError(Fault("invalid_header", detail, field=header))
    return int(sent)


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
