"""Live loyalty: a share of the traffic is asked of the teacher too, when nothing else needs a core.

Texts are held in memory until their sample was compared or dropped, and nowhere else.
"""

import asyncio
import hashlib
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from app.answering import Call
from app.batching import Batcher
from app.contract.errors import ContractError
from app.contract.loyalty import Loyalty, Reading, check_comparable, compare, held_out
from app.errors import QueueFull, ServiceError, Unavailable
from app.inference import Prediction, compute, encode, run
from app.loading import ServedModel
from app.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_PENDING = 64
"""Sampled requests that wait or run; their texts are all that is held."""

Measure = Callable[[Loyalty], float | None]
MEASURES: dict[str, Measure] = {
    "label_ratio": lambda loyalty: loyalty.label,
    "probability_ratio": lambda loyalty: loyalty.probability,
    "regression_mae": lambda loyalty: (
        None if loyalty.regression is None else 1 - loyalty.regression
    ),
}
"""Gauge -> what it is the mean of."""
EXPECTED = ("label_ratio", "regression_mae")
"""Gauges beside which the manifest's own measure stands."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A request that a student has answered.

    Attributes:
        call: what was asked.
        student: that answered.
        prediction: its answers, to every input.
    """

    call: Call
    student: ServedModel
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Window:
    """The latest comparisons of a student with one teacher, an input each."""

    teacher: ServedModel
    samples: deque[Loyalty]

    def mean(self, measure: Measure) -> float:
        """Of a measure over all decisions compared; not a number if no sample has it."""
        measured = [(sample.compared, measure(sample)) for sample in self.samples]
        found = [(count, value) for count, value in measured if value is not None]
        total = sum(count for count, _ in found)
        return sum(count * value for count, value in found) / total if total else math.nan


class Shadow:
    """Replays samples on teachers and keeps the gauges of loyalty."""

    def __init__(self, metrics: Metrics, *, share: float, window: int) -> None:
        """Nothing was sampled yet.

        Args:
            metrics: of the application.
            share: of the requests, in [0, 1].
            window: inputs that the gauges are about, per model.
        """
        self._metrics = metrics
        self._share = share
        self._window = window
        self._windows: dict[ServedModel, Window] = {}
        self._lanes: dict[ServedModel, Batcher] = {}
        self._pending: dict[asyncio.Task[None], tuple[Sample, ServedModel]] = {}
        self._is_stopped = False

    def takes(self, request_id: str) -> bool:
        """Whether a request is sampled; the same id always gives the same answer."""
        digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self._share * 2**64

    def start(self, sample: Sample, teacher: ServedModel) -> None:
        """Let a teacher answer a sample in the background, and compare; or drop it.

        Args:
            sample: whose student serves.
            teacher: that serves; another model.
        """
        try:
            check_comparable(sample.student.manifest.head, teacher.manifest.head)
        except ContractError:
            drop(sample, "incomparable")
            return
        if self._is_stopped or len(self._pending) >= MAX_PENDING:
            drop(sample, "stopped" if self._is_stopped else "full")
            return
        self._open_window(sample.student, teacher)
        task = asyncio.create_task(self._replay(sample, teacher))
        self._pending[task] = sample, teacher
        task.add_done_callback(lambda task: self._pending.pop(task, None))

    def forget(self, model: ServedModel) -> None:
        """Drop what a model, which is being unloaded, has a part in as student or as teacher."""
        self._cancel("swapped", lambda student, teacher: model in (student, teacher))
        for student, window in list(self._windows.items()):
            if model in (student, window.teacher):
                self._close_window(student)
        self._lanes.pop(model, None)

    def stop(self) -> None:
        """Drop everything and take no more samples."""
        self._is_stopped = True
        self._cancel("stopped", lambda student, teacher: True)
        self._lanes.clear()

    async def _replay(self, sample: Sample, teacher: ServedModel) -> None:
        try:
            loyalties = await self._compare(sample, teacher)
        except QueueFull:
            drop(sample, "full")
        except Unavailable:
            drop(sample, "unavailable")
        except ServiceError:
            drop(sample, "failed")
        except Exception:
            # Nobody awaits this task, and asyncio's own report may quote what was sent.
            logger.exception("shadow_failed", extra={"model": teacher.manifest.name})
            drop(sample, "failed")
        else:
            self._record(sample, teacher, loyalties)

    async def _compare(self, sample: Sample, teacher: ServedModel) -> list[Loyalty]:
        """Agreement on each input.

        Raises:
            ServiceError: the teacher did not answer.
        """
        call, own = sample.call, sample.prediction
        inputs, task = call.reading.inputs, call.task
        long, stride = task.long(call.parameters), task.stride(call.parameters)
        lane = self._lanes.get(teacher)
        if lane is None:
            # What the student's queue could take, this one can too.
            items = teacher.batcher.limits.max_queue_items
            lane = self._lanes[teacher] = teacher.batcher.background(max_queue_items=items)
        lane.refuse_if_full()
        encoded = await compute(lambda: encode(teacher, inputs, long, stride), inputs)
        outputs, _ = await run(lane, encoded)
        student_head, teacher_head = sample.student.manifest.head, teacher.manifest.head
        return await compute(
            lambda: [
                compare(Reading(student_head, *mine), Reading(teacher_head, *theirs))
                for mine, theirs in zip(
                    zip(own.encoded, own.outputs, strict=True),
                    zip(encoded, outputs, strict=True),
                    strict=True,
                )
            ],
            inputs,
        )

    def _record(self, sample: Sample, teacher: ServedModel, loyalties: Sequence[Loyalty]) -> None:
        window = self._windows.get(sample.student)
        if window is None or window.teacher is not teacher:
            drop(sample, "swapped")
            return
        sample.student.metrics.shadow_samples.inc(len(loyalties))
        window.samples.extend(loyalties)
        for name, measure in MEASURES.items():
            if any(measure(loyalty) is not None for loyalty in loyalties):
                mean = partial(window.mean, measure)
                self._metrics.watch_loyalty(*_labels(sample.student), name, mean)
        size = partial(len, window.samples)
        self._metrics.watch_loyalty(*_labels(sample.student), "window_inputs", size)

    def _open_window(self, student: ServedModel, teacher: ServedModel) -> None:
        """Go on with a student's window, or begin anew if it has another teacher now."""
        if student in self._windows and self._windows[student].teacher is not teacher:
            self._close_window(student)
        if student not in self._windows:
            self._windows[student] = Window(teacher, deque(maxlen=self._window))
            known = held_out(student.manifest.head, student.manifest.loyalty)
            for name in EXPECTED:
                if (value := MEASURES[name](known)) is not None:
                    expected = partial(float, value)
                    self._metrics.watch_loyalty(*_labels(student), f"expected_{name}", expected)

    def _close_window(self, student: ServedModel) -> None:
        del self._windows[student]
        self._metrics.forget_loyalty(*_labels(student))

    def _cancel(self, reason: str, concerns: Callable[[ServedModel, ServedModel], bool]) -> None:
        for task, (sample, teacher) in list(self._pending.items()):
            if concerns(sample.student, teacher):
                task.cancel()
                del self._pending[task]
                drop(sample, reason)


def drop(sample: Sample, reason: str) -> None:
    """Count a sample that is not compared; `reason` is one of SHADOW_DROPS."""
    sample.student.metrics.shadow_dropped[reason].inc(len(sample.prediction.answers))


def _labels(model: ServedModel) -> tuple[str, str, str]:
    manifest = model.manifest
    return manifest.task, manifest.model, str(manifest.version)
