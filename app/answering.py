"""From a parsed body to the answers: the same for every protocol."""

from dataclasses import dataclass, replace
from typing import Any

from app.errors import Fault, ServiceError
from app.inference import Prediction, predict
from app.inputs import InputLimits, Reading, validate
from app.loading import ServedModel
from app.schemas import Parameters
from app.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Call:
    """A checked request.

    Attributes:
        task: that is asked.
        model: name of the model, None for the task's default.
        parameters: of the task.
        reading: what is to be answered.
    """

    task: Task[Any]  # whose parameters these are
    model: str | None
    parameters: Parameters
    reading: Reading


def read_call(task: Task[Any], content: object, limits: InputLimits) -> Call:
    """Check a parsed body.

    Raises:
        RequestError: a field, a parameter or an input cannot be used; all of a kind are named.
    """
    body = validate(task.request, content)
    parameters = body.parameters or task.parameters()
    reading = task.read(body.inputs, parameters, limits)
    return Call(task, body.model, parameters, reading)


async def answer(call: Call, model: ServedModel, *, deadline_s: float | None = None) -> Prediction:
    """Let a model answer; see `predict`."""
    task, parameters = call.task, call.parameters
    try:
        return await predict(
            model,
            call.reading.inputs,
            task.decoder(model.manifest, parameters),
            long=task.long(parameters),
            stride=task.stride(parameters),
            deadline_s=deadline_s,
        )
    except ServiceError as error:
        error.faults = tuple(_as_sent(fault, call.reading) for fault in error.faults)
        raise


def _as_sent(fault: Fault, reading: Reading) -> Fault:
    """A fault of one of the inputs that were run, as one of what the caller sent."""
    return fault if fault.index is None else replace(fault, index=reading.owners[fault.index])
