"""What a task is: how its requests are read, what its parameters mean, how its replies look.

The same for every way a request can come in, so that all of them give the same answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from app.contract.encoded_text import EncodedText, LongInput, WindowOutputs
from app.contract.manifest import Manifest
from app.inputs import InputLimits, Reading
from app.schemas import Parameters, TaskRequest

P = TypeVar("P", bound=Parameters)

Decode = Callable[[EncodedText, Sequence[WindowOutputs]], object]
"""An encoded input and the outputs of its windows to its answer, ready for JSON."""

SCORE_DECIMALS = 6


def one_each(reading: Reading, answers: list[object]) -> object:
    """The reply of most tasks: the answer of a single input, or a list of answers."""
    return answers[0] if reading.is_single else answers


@dataclass(frozen=True, slots=True)
class Task(Generic[P]):
    """One task on the wire.

    Attributes:
        name: in the path.
        summary: for the documentation.
        request: the body.
        parameters: of the body.
        reply: to one input or several.
        examples: name -> (a body, its reply).
        read: `inputs` of a body, its parameters and the limits -> the inputs to run.
        long: what becomes of long inputs under these parameters.
        stride: tokens that windows share under these parameters; None for the model's own.
        decoder: how a model's outputs are read under these parameters.
        assemble: the inputs and their answers -> the reply.
    """

    name: str
    summary: str
    request: type[TaskRequest]
    parameters: type[P]
    reply: TypeAdapter[object]
    examples: dict[str, tuple[dict[str, object], object]]
    read: Callable[[object, P, InputLimits], Reading]
    long: Callable[[P], LongInput]
    stride: Callable[[P], int | None]
    decoder: Callable[[Manifest, P], Decode]
    assemble: Callable[[Reading, list[object]], object] = one_each
