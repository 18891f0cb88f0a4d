"""`parse`: its requests, what their parameters mean, and how its answers look on the wire."""

from collections.abc import Sequence

from pydantic import Field, TypeAdapter

from app.contract.decoding import parse
from app.contract.encoded_text import EncodedText, LongInput, WindowOutputs
from app.contract.heads import ParseHead
from app.contract.manifest import Manifest
from app.inputs import InputLimits, Reading, read_texts
from app.schemas import Entity, Parameters, TaskRequest, TextInputs, Wire
from app.tasks.task import SCORE_DECIMALS, Decode, Task

TEXT = "Wake me up tomorrow at seven"
PARSED = {
    "intent": {"label": "IN:CREATE_ALARM", "score": 0.998},
    "slots": [
        {
            "entity_group": "SL:DATE_TIME",
            "score": 0.981,
            "word": "tomorrow at seven",
            "start": 11,
            "end": 28,
        }
    ],
    "tree": "[IN:CREATE_ALARM [SL:DATE_TIME tomorrow at seven ] ]",
}
EXAMPLES: dict[str, tuple[dict[str, object], object]] = {
    "one text": ({"inputs": TEXT}, PARSED),
    "several texts": ({"inputs": [TEXT], "model": "default"}, [PARSED]),
    "one text split into words": (
        {"inputs": TEXT.split(), "parameters": {"is_split_into_words": True}},
        PARSED,
    ),
}


class ParseParameters(Parameters):
    """Parameters of `parse`."""

    is_split_into_words: bool = Field(
        False, description='inputs are lists of words; offsets refer to " ".join(words)'
    )
    truncate: bool = Field(
        False,
        description="read the first window of a text that is longer, instead of refusing it; the "
        "cut inputs are named in X-Truncated",
    )


class ParseRequest(TaskRequest):
    """Body of `POST /v1/parse`."""

    inputs: TextInputs
    parameters: ParseParameters | None = None


class Intent(Wire):
    """What the text as a whole wants."""

    label: str
    score: float = Field(ge=0, le=1)


class Parsed(Wire):
    """The meaning of a text; `tree` is both in MTOP's decoupled form."""

    intent: Intent
    slots: list[Entity]
    tree: str = Field(examples=["[IN:GET_WEATHER [SL:LOCATION Cluj ] ]"])


def _read(inputs: object, parameters: ParseParameters, limits: InputLimits) -> Reading:
    return read_texts(inputs, split=parameters.is_split_into_words, limits=limits)


def _long(parameters: ParseParameters) -> LongInput:
    return "cut" if parameters.truncate else "refuse"


def _stride(_: ParseParameters) -> None:
    return None


def _decoder(manifest: Manifest, _: ParseParameters) -> Decode:
    head = manifest.head
    assert isinstance(head, ParseHead)

    def decode(encoded: EncodedText, outputs: Sequence[WindowOutputs]) -> dict[str, object]:
        found = parse(head, encoded, outputs)
        return {
            "intent": {
                "label": found.intent.label,
                "score": round(found.intent.score, SCORE_DECIMALS),
            },
            "slots": [
                {
                    "entity_group": slot.label,
                    "score": round(slot.score, SCORE_DECIMALS),
                    "word": encoded.text[slot.start : slot.end],
                    "start": slot.start,
                    "end": slot.end,
                }
                for slot in found.slots
            ],
            "tree": found.tree,
        }

    return decode


PARSE = Task(
    name="parse",
    summary="Intent and slots of an utterance",
    request=ParseRequest,
    parameters=ParseParameters,
    reply=TypeAdapter(Parsed | list[Parsed]),
    examples=EXAMPLES,
    read=_read,
    long=_long,
    stride=_stride,
    decoder=_decoder,
)
