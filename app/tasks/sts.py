"""`sts`: how alike two texts mean; its requests, their two forms, and its answers on the wire."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, TypeAdapter, WithJsonSchema

from app.contract.decoding import similarity
from app.contract.encoded_text import EncodedText, LongInput, Pair, WindowOutputs
from app.contract.heads import NumberHead
from app.contract.manifest import Manifest
from app.errors import Fault, RequestError, shown
from app.inputs import InputLimits, Reading, check_chars, kind_of
from app.schemas import Parameters, TaskRequest
from app.tasks.task import SCORE_DECIMALS, Decode, Task

SOURCE, SENTENCES = ONE_TO_MANY = ("source_sentence", "sentences")
TEXT, TEXT_PAIR = ONE_TO_ONE = ("text", "text_pair")

SAME = {"text": "Plouă la Iași.", "text_pair": "La Iași plouă."}
MANY = {"source_sentence": "Plouă la Iași.", "sentences": ["La Iași plouă.", "Ion cântă."]}
EXAMPLES: dict[str, tuple[dict[str, object], object]] = {
    "two texts": ({"inputs": SAME}, [0.94]),
    "one text and many": ({"inputs": MANY}, [0.94, 0.03]),
    "several": ({"inputs": [SAME, MANY], "model": "default"}, [[0.94], [0.94, 0.03]]),
}


def _object(**properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


_STRING = {"type": "string"}
_STRINGS = {"type": "array", "minItems": 1, "items": _STRING}
_FORMS = [
    _object(source_sentence=_STRING, sentences=_STRINGS),
    _object(text=_STRING, text_pair=_STRING),
]
PairInputs = Annotated[
    object,
    WithJsonSchema(
        {
            "description": "a text and those to compare it with, or a list of such inputs; both "
            "forms may be mixed",
            "anyOf": [*_FORMS, {"type": "array", "minItems": 1, "items": {"anyOf": _FORMS}}],
        }
    ),
]


class StsParameters(Parameters):
    """Parameters of `sts`."""

    truncate: bool = Field(
        True,
        description="cut the longer text of a pair that is longer than the model reads, and name "
        "its input in X-Truncated; if false, such a pair is refused",
    )


class StsRequest(TaskRequest):
    """Body of `POST /v1/sts`."""

    inputs: PairInputs
    parameters: StsParameters | None = None


Scores = list[Annotated[float, Field(ge=0, le=1)]]


def _read(inputs: object, _: StsParameters, limits: InputLimits) -> Reading:
    if not isinstance(inputs, dict | list):
        detail = f"inputs must be {_wanted()}, or a list of those, got {kind_of(inputs)}"
        raise RequestError(Fault("invalid_request", detail, field="inputs"))
    if inputs == []:
        raise RequestError(Fault("no_inputs", "inputs is an empty list", field="inputs"))
    given = inputs if isinstance(inputs, list) else [inputs]
    count = sum(map(_count, given))
    if count > limits.max_texts:
        detail = f"{count} pairs of texts, at most {limits.max_texts} are taken in one request"
        raise RequestError(Fault("too_many_inputs", detail, field="inputs"))
    faults = [fault for index, one in enumerate(given) for fault in _faults(one, index, limits)]
    if faults:
        raise RequestError(*faults)
    owned = [(owner, pair) for owner, one in enumerate(given) for pair in _pairs(one)]
    return Reading(
        [pair for _, pair in owned],
        [owner for owner, _ in owned],
        is_single=isinstance(inputs, dict),
    )


def _wanted() -> str:
    forms = (f"{{{', '.join(names)}}}" for names in (ONE_TO_MANY, ONE_TO_ONE))
    return " or ".join(forms)


def _count(given: object) -> int:
    """Pairs of an input that may have any form."""
    sentences = given.get(SENTENCES) if isinstance(given, dict) else None
    return len(sentences) if isinstance(sentences, list) else 1


def _pairs(given: dict[str, str]) -> list[Pair]:
    if TEXT in given:
        return [Pair(given[TEXT], given[TEXT_PAIR])]
    return [Pair(given[SOURCE], sentence, ONE_TO_MANY) for sentence in given[SENTENCES]]


def _faults(given: object, index: int, limits: InputLimits) -> list[Fault]:
    """What is wrong with one input."""
    if not isinstance(given, dict):
        detail = f"an input must be {_wanted()}, got {kind_of(given)}"
        return [Fault("invalid_request", detail, index, "inputs")]
    odd = next((name for name in given if name not in (*ONE_TO_MANY, *ONE_TO_ONE)), None)
    if odd is not None:
        detail = f"{shown(odd)} is not a known field of an input"
        return [Fault("unknown_field", detail, index, "inputs")]
    names = tuple(given)
    if set(names) not in (set(ONE_TO_MANY), set(ONE_TO_ONE)):
        detail = f"an input must be {_wanted()}, got {', '.join(names) or 'no field'}"
        return [Fault("invalid_request", detail, index, "inputs")]
    faults = []
    for name, value in given.items():
        if name != SENTENCES:
            found = [_check(value, name, limits)]
        elif not isinstance(value, list):
            found = [("invalid_request", f"{name} must be a list of texts, got {kind_of(value)}")]
        elif not value:
            found = [("no_inputs", f"{name} is an empty list")]
        else:
            found = [_check(sentence, f"one of {name}", limits) for sentence in value]
        faults += [Fault(*fault, index, f"inputs.{name}") for fault in found if fault]
    return faults


def _check(text: object, what: str, limits: InputLimits) -> tuple[str, str] | None:
    """Error code and detail, or None."""
    if not isinstance(text, str):
        return "invalid_request", f"{what} must be a string, got {kind_of(text)}"
    return check_chars(text, limits.max_chars, what=what)


def _long(parameters: StsParameters) -> LongInput:
    return "cut" if parameters.truncate else "refuse"


def _stride(_: StsParameters) -> None:
    return None


def _decoder(manifest: Manifest, _: StsParameters) -> Decode:
    head = manifest.head
    assert isinstance(head, NumberHead)

    def decode(_: EncodedText, outputs: Sequence[WindowOutputs]) -> float:
        return round(similarity(head, outputs), SCORE_DECIMALS)

    return decode


def _assemble(reading: Reading, answers: list[object]) -> object:
    """The scores of each input."""
    scores: list[list[object]] = [[] for _ in range(reading.owners[-1] + 1)]
    for owner, score in zip(reading.owners, answers, strict=True):
        scores[owner].append(score)
    return scores[0] if reading.is_single else scores


STS = Task(
    name="sts",
    summary="How alike two texts mean",
    request=StsRequest,
    parameters=StsParameters,
    reply=TypeAdapter(Scores | list[Scores]),
    examples=EXAMPLES,
    read=_read,
    long=_long,
    stride=_stride,
    decoder=_decoder,
    assemble=_assemble,
)
