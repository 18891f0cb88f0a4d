"""`"model": "cascade"`: the default model answers; what it is not sure of, its teacher answers."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.answering import Call, answer
from app.contract.confidence import confidence
from app.contract.errors import ContractError
from app.contract.heads import HEADS_OF_TASK
from app.contract.loyalty import check_comparable
from app.errors import Fault, RequestError, ServiceError
from app.inference import Prediction, compute
from app.inputs import Reading
from app.loading import ServedModel
from app.registry import Registry
from app.store import TEACHER

TEACHER_SHARE = 0.9
"""Of the time that is left, for the teacher; in the rest the student's answer must get out."""

OUTCOMES = {
    "queue_full": "overloaded",
    "deadline_exceeded": "late",
    "inference_failed": "failed",
    "model_loading": "unavailable",
    "model_unavailable": "unavailable",
    "draining": "unavailable",
}
"""Error code of the teacher -> what became of the inputs that it was asked."""

REFUSED = "refused"
"""What other codes mean: the request does not suit the teacher."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers to a call.

    Attributes:
        prediction: of all models that were asked.
        own: of the first one, for every input.
        answered_by: who answered what, for a header.
    """

    prediction: Prediction
    own: Prediction
    answered_by: str


async def obtain_student(task: str, registry: Registry) -> ServedModel:
    """The model that a task's cascade asks first: its default, never a canary.

    Raises:
        RequestError: the task has no cascade, and why.
        Unavailable: the model is not ready, or there is no default.
    """
    entry = registry.find(task, None)
    if "score" in HEADS_OF_TASK[task]:
        detail = f"{task} answers with numbers, which do not say how sure a model is; name a model"
        raise RequestError(Fault("no_confidence", detail, field="model"))
    if TEACHER not in registry.targets(task):
        detail = f"{task} has no alias {TEACHER}, which a cascade asks; name a model"
        raise RequestError(Fault("no_teacher", detail, field="model"))
    if TEACHER in registry.aliases(entry):
        detail = f"{entry.name} is both default and teacher, there is nobody else to ask"
        raise RequestError(Fault("no_teacher", detail, field="model"))
    if entry.manifest and entry.manifest.calibration is None:
        detail = f"{entry.name} has no calibration, so its doubts cannot be told; name a model"
        raise RequestError(Fault("not_calibrated", detail, field="model"))
    teacher = next((e for e in registry.versions(task) if TEACHER in registry.aliases(e)), None)
    if entry.manifest and teacher and teacher.manifest:
        try:
            check_comparable(entry.manifest.head, teacher.manifest.head)
        except ContractError as error:
            detail = f"{teacher.name} is no teacher for {entry.name}: {error}"
            raise RequestError(Fault("no_teacher", detail, field="model")) from error
    return await registry.obtain(task, f"{entry.model}:{entry.version}")


async def answer_by_cascade(
    call: Call, student: ServedModel, registry: Registry, *, deadline_s: float
) -> Reply:
    """Let a student answer, and its teacher what the student doubts; see `answer`.

    Whatever keeps the teacher from answering, the student's answer stands.

    Args:
        call: what is asked.
        student: see `obtain_student`.
        registry: has the teacher.
        deadline_s: monotonic time after which the answers are worth nothing.

    Raises:
        ServiceError: what is asked for has no calibration, or the student did not answer.
    """
    if not call.parameters.is_calibrated:
        detail = "a cascade is calibrated for classes, not for ratings; name a model"
        raise RequestError(Fault("not_calibrated", detail, field="parameters.labels"))
    own = await answer(call, student, deadline_s=deadline_s)
    doubted = await compute(lambda: _doubted(student, own), call.reading.inputs)
    counts = student.metrics.cascade_inputs
    counts["student"].inc(len(own.answers) - len(doubted))
    if not doubted:
        return Reply(own, own, student.manifest.name)
    try:
        teacher, theirs = await _ask_teacher(call, doubted, registry, deadline_s=deadline_s)
    except ServiceError as error:
        counts[OUTCOMES.get(error.code, REFUSED)].inc(len(doubted))
        return Reply(own, own, student.manifest.name)
    except TimeoutError:
        counts["late"].inc(len(doubted))
        return Reply(own, own, student.manifest.name)
    counts["teacher"].inc(len(doubted))
    names = [student.manifest.name, teacher.manifest.name]
    owners = [call.reading.owners[position] for position in doubted]
    return Reply(_merged(own, theirs, doubted), own, _answered_by(names, owners, len(own.answers)))


def _doubted(student: ServedModel, own: Prediction) -> list[int]:
    """Positions of the inputs whose answer is less certain than the manifest demands."""
    manifest = student.manifest
    assert manifest.calibration is not None  # see obtain_student
    temperature, threshold = manifest.calibration.temperature, manifest.calibration.threshold
    return [
        position
        for position, (encoded, outputs) in enumerate(zip(own.encoded, own.outputs, strict=True))
        if confidence(manifest.head, encoded, outputs, temperature) < threshold
    ]


async def _ask_teacher(
    call: Call, positions: Sequence[int], registry: Registry, *, deadline_s: float
) -> tuple[ServedModel, Prediction]:
    """The teacher's answers to some of the inputs.

    Raises:
        ServiceError: it did not answer.
        TimeoutError: it took too long.
    """
    reading = call.reading
    inputs = [reading.inputs[position] for position in positions]
    asked = replace(call, reading=Reading(inputs, range(len(inputs)), is_single=False))
    now_s = time.monotonic()
    given_s = (deadline_s - now_s) * TEACHER_SHARE
    async with asyncio.timeout(given_s):
        teacher = await registry.obtain(call.task.name, TEACHER)
        with teacher.holders.holding():
            return teacher, await answer(asked, teacher, deadline_s=now_s + given_s)


def _merged(own: Prediction, theirs: Prediction, positions: Sequence[int]) -> Prediction:
    """The student's answers, at these positions the teacher's; their times add up."""
    answers, encoded, outputs = list(own.answers), list(own.encoded), list(own.outputs)
    for index, position in enumerate(positions):
        answers[position] = theirs.answers[index]
        encoded[position] = theirs.encoded[index]
        outputs[position] = theirs.outputs[index]
    return Prediction(
        answers=answers,
        encoded=encoded,
        outputs=outputs,
        truncated=[position for position, text in enumerate(encoded) if text.truncated],
        num_tokens=own.num_tokens + theirs.num_tokens,
        tokenization_s=own.tokenization_s + theirs.tokenization_s,
        queue_s=own.queue_s + theirs.queue_s,
        inference_s=own.inference_s + theirs.inference_s,
        stages=(*own.stages, *theirs.stages),
    )


def _answered_by(names: Sequence[str], owners: Sequence[int], count: int) -> str:
    """Student and teacher, with the inputs of the teacher; the teacher alone if these are all.

    >>> _answered_by(["ner/distil-multi-ro:2", "ner/teacher-ro:4"], [0, 4], 5)
    'ner/distil-multi-ro:2, ner/teacher-ro:4;inputs=0,4'
    """
    student, teacher = names
    if len(owners) == count:
        return teacher
    return f"{student}, {teacher};inputs={','.join(map(str, owners))}"
