"""`qa`: its requests, what their parameters mean, and how its answers look on the wire."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

from pydantic import Field, TypeAdapter, WithJsonSchema

from app.contract.answers import find_answers
from app.contract.encoded_text import EncodedText, LongInput, Pair, WindowOutputs
from app.contract.heads import AnswerHead
from app.contract.manifest import Manifest
from app.errors import Fault, RequestError, shown
from app.inputs import MAX_FIELDS, InputLimits, Reading, check_chars, kind_of
from app.schemas import Parameters, TaskRequest, Wire
from app.tasks.task import SCORE_DECIMALS, Decode, Task

NAMES = ("question", "context")
ONE = '{"question": "...", "context": "..."}'
INPUT = {"question": "Where was Ana born?", "context": "Ana Pop was born in Cluj in 1957."}
ANSWER = {"answer": "Cluj", "score": 0.953, "start": 20, "end": 24}
EXAMPLES: dict[str, tuple[dict[str, object], object]] = {
    "one question": ({"inputs": INPUT}, ANSWER),
    "several questions": ({"inputs": [INPUT], "model": "default"}, [ANSWER]),
    "the best two answers": (
        {"inputs": INPUT, "parameters": {"top_k": 2}},
        [ANSWER, {"answer": "Cluj in 1957", "score": 0.021, "start": 20, "end": 32}],
    ),
    "perhaps no answer": (
        {
            "inputs": INPUT | {"question": "Where did Ana die?"},
            "parameters": {"handle_impossible_answer": True},
        },
        {"answer": "", "score": 0.871, "start": 0, "end": 0},
    ),
}

_ONE = {
    "type": "object",
    "additionalProperties": False,
    "required": list(NAMES),
    "properties": {name: {"type": "string"} for name in NAMES},
}
QuestionInputs = Annotated[
    object,
    WithJsonSchema(
        {
            "description": "a question and the context that has its answer, or a list of those",
            "anyOf": [_ONE, {"type": "array", "minItems": 1, "items": _ONE}],
        }
    ),
]


class QaParameters(Parameters):
    """Parameters of `qa`."""

    top_k: int = Field(
        1, ge=1, le=100, description="answers to give, best first; above 1 the reply is a list"
    )
    handle_impossible_answer: bool = Field(
        False,
        description='let "no answer in the context" be an answer: "" with start and end 0',
    )
    max_answer_len: int | None = Field(
        None, ge=1, le=8192, description="longest answer, tokens; the model's own if not given"
    )
    doc_stride: int | None = Field(
        None,
        ge=0,
        le=8192,
        description="tokens of the context that neighbouring windows share, at most half a "
        "window; the model's own if not given",
    )
    align_to_words: bool = Field(
        True,
        description="let answers begin and end with whole words, where the script parts words by "
        "spaces",
    )
    max_seq_len: int | None = Field(
        None,
        ge=1,
        description="changes nothing: windows are as long as those that the model was trained on",
    )
    max_question_len: int | None = Field(
        None, ge=1, description="changes nothing: a question is never cut"
    )


class QaRequest(TaskRequest):
    """Body of `POST /v1/qa`."""

    inputs: QuestionInputs
    parameters: QaParameters | None = None


class Answer(Wire):
    """An answer, `context[start:end]`, counted in Unicode code points; empty if there is none."""

    answer: str
    score: float = Field(ge=0, le=1)
    start: int = Field(ge=0)
    end: int = Field(ge=0)


def _read(inputs: object, _: QaParameters, limits: InputLimits) -> Reading:
    if not isinstance(inputs, dict | list):
        detail = f"inputs must be {ONE} or a list of those, got {kind_of(inputs)}"
        raise RequestError(Fault("invalid_request", detail, field="inputs"))
    if inputs == []:
        raise RequestError(Fault("no_inputs", "inputs is an empty list", field="inputs"))
    given = inputs if isinstance(inputs, list) else [inputs]
    if len(given) > limits.max_texts:
        detail = f"{len(given)} inputs, at most {limits.max_texts} are taken in one request"
        raise RequestError(Fault("too_many_inputs", detail, field="inputs"))
    faults = [fault for index, one in enumerate(given) for fault in _faults(one, index, limits)]
    if faults:
        raise RequestError(*faults)
    pairs = [Pair(one["question"], one["context"], NAMES) for one in given]
    return Reading(pairs, range(len(pairs)), is_single=isinstance(inputs, dict))


def _faults(given: object, index: int, limits: InputLimits) -> list[Fault]:
    """What is wrong with one input."""
    if not isinstance(given, dict):
        detail = f"an input must be {ONE}, got {kind_of(given)}"
        return [Fault("invalid_request", detail, index, "inputs")]
    odd = [
        Fault("unknown_field", f"{shown(name)} is not a known field", index, "inputs")
        for name in islice(given.keys() - set(NAMES), MAX_FIELDS)
    ]
    missing = [
        Fault("invalid_request", f"an input needs a {name}", index, f"inputs.{name}")
        for name in NAMES
        if name not in given
    ]
    if odd or missing:
        return odd + missing
    longest = {"question": limits.max_chars, "context": limits.max_context_chars}
    return [
        Fault(*found, index=index, field=f"inputs.{name}")
        for name, max_chars in longest.items()
        if (found := _check(given[name], max_chars, name))
    ]


def _check(text: object, max_chars: int, name: str) -> tuple[str, str] | None:
    if not isinstance(text, str):
        return "invalid_request", f"a {name} must be a string, got {kind_of(text)}"
    return check_chars(text, max_chars, what=f"a {name}")


def _long(_: QaParameters) -> LongInput:
    return "windows"


def _stride(parameters: QaParameters) -> int | None:
    return parameters.doc_stride


def _decoder(manifest: Manifest, parameters: QaParameters) -> Decode:
    assert isinstance(manifest.head, AnswerHead)
    max_tokens = parameters.max_answer_len or manifest.head.max_answer_tokens

    def decode(encoded: EncodedText, outputs: Sequence[WindowOutputs]) -> object:
        answers = [
            {
                "answer": encoded.text[found.start : found.end],
                "score": round(found.score, SCORE_DECIMALS),
                "start": found.start,
                "end": found.end,
            }
            for found in find_answers(
                encoded,
                outputs,
                max_tokens=max_tokens,
                top_k=parameters.top_k,
                may_abstain=parameters.handle_impossible_answer,
                whole_words=parameters.align_to_words,
            )
        ]
        return answers if parameters.top_k > 1 else answers[0]

    return decode


QA = Task(
    name="qa",
    summary="Answers to questions, from a text",
    request=QaRequest,
    parameters=QaParameters,
    reply=TypeAdapter(Answer | list[Answer] | list[list[Answer]]),
    examples=EXAMPLES,
    read=_read,
    long=_long,
    stride=_stride,
    decoder=_decoder,
)
