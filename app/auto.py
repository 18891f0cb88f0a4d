"""`"model": "auto"`: the most loyal model that is fast enough now."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.answering import Call
from app.contract.encoded_text import Input, Pair
from app.contract.heads import NumberHead, VectorHead, label_names
from app.contract.manifest import Manifest
from app.errors import ServiceError
from app.inference import code_points, refuse_if_full
from app.loading import Entry, ServedModel
from app.registry import Registry
from app.store import TEACHER

CODE_POINTS_PER_TOKEN = 3
"""Fewer than running text has, so that estimates are rather too long."""

TEACHERS_LOYALTY = 1.0
UNKNOWN_LOYALTY = float("-inf")


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that could answer.

    Attributes:
        model: that is ready.
        loyalty: to the task's teacher; UNKNOWN_LOYALTY if nobody measured it.
        expected_s: time to its answer; infinite if it takes nothing now.
    """

    model: ServedModel
    loyalty: float
    expected_s: float


def choose(choices: Sequence[Choice], left_s: float) -> Choice:
    """The most loyal that fits into the time, of equals the fastest; if none fits, the fastest.

    Args:
        choices: at least one.
        left_s: until the answer is due, seconds.
    """
    fitting = [choice for choice in choices if choice.expected_s <= left_s]
    if not fitting:
        return min(choices, key=lambda choice: choice.expected_s)
    return max(fitting, key=lambda choice: (choice.loyalty, -choice.expected_s))


async def choose_model(call: Call, registry: Registry, *, left_s: float) -> ServedModel:
    """The model that answers a call under this time limit.

    Args:
        call: what is asked.
        registry: has the models.
        left_s: until the answer is due, seconds.

    Raises:
        ServiceError: no model is ready, and why the task's default is not.
    """
    task, inputs = call.task.name, call.reading.inputs
    choices = [
        Choice(entry.served, _loyalty(entry, registry), _expected_s(entry.served, inputs))
        for entry in registry.standing(task)
        if entry.state == "ready" and entry.served and _stands_in(entry, registry.default(task))
    ]
    # A stopped registry refuses here, and one that loads on demand loads.
    default = await registry.obtain(task, None) if not choices else None
    return default or choose(choices, left_s).model


def _stands_in(entry: Entry, default: Entry | None) -> bool:
    """Whether a model says the labels of the task's default, in all of its languages."""
    if default is None or default.manifest is None or entry.manifest is None:
        return True
    own, wanted = entry.manifest, default.manifest
    return set(wanted.languages) <= set(own.languages) and (
        set(label_names(own.head)) == set(label_names(wanted.head))
    )


def _loyalty(entry: Entry, registry: Registry) -> float:
    if TEACHER in registry.aliases(entry):
        return TEACHERS_LOYALTY
    return measured_loyalty(entry.manifest) if entry.manifest else UNKNOWN_LOYALTY


def measured_loyalty(manifest: Manifest) -> float:
    """What counts as a model's loyalty: of its labels, or of its numbers."""
    name = "regression_loyalty" if isinstance(manifest.head, NumberHead) else "label_loyalty"
    score = manifest.loyalty.get(name)
    return score.value if score else UNKNOWN_LOYALTY


def _expected_s(model: ServedModel, inputs: Sequence[Input]) -> float:
    """Time to an answer: as long as the latest requests took, or longer if more waits now."""
    if isinstance(model.manifest.head, VectorHead):
        # Reads a text once, however many others it is compared with.
        pairs = [given for given in inputs if isinstance(given, Pair)]
        inputs = list({text for pair in pairs for text in (pair.first, pair.second)})
    length = sum(map(code_points, inputs))
    try:
        refuse_if_full(model, inputs)
    except ServiceError:
        return float("inf")
    estimate_s = model.batcher.finish_s(length // CODE_POINTS_PER_TOKEN + 1)
    return max(estimate_s, model.latency.p95_s or 0.0)
