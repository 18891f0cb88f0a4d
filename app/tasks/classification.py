"""`sentiment` and `dialect`: one kind of task, a label for a whole text, under two names."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, WithJsonSchema

from app.contract.decoding import class_scores
from app.contract.encoded_text import EncodedText, LongInput, WindowOutputs
from app.contract.heads import ClassHead
from app.contract.manifest import Manifest
from app.errors import Fault, RequestError
from app.inputs import InputLimits, Reading, read_texts
from app.schemas import Parameters, TaskRequest, Wire
from app.tasks.task import SCORE_DECIMALS, Decode, Task

Texts = Annotated[
    object,
    WithJsonSchema(
        {
            "description": "a text or a list of texts",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "minItems": 1, "items": {"type": "string"}},
            ],
        }
    ),
]


class ClassificationParameters(Parameters):
    """Parameters of `sentiment` and `dialect`."""

    labels: Literal["class", "rating"] = Field(
        "class",
        description="which labels the reply has: the classes, or the ratings (stars) of a model "
        "that has them; other models refuse it",
    )
    top_k: int | None = Field(
        None, ge=1, description="how many labels to give, best first; all if not given"
    )
    function_to_apply: Literal["softmax", "sigmoid", "none"] = Field(
        "softmax",
        description="what turns logits into scores: probabilities of one label among all "
        "(softmax), of each label by itself (sigmoid), or nothing (none)",
    )
    truncate: bool = Field(
        True,
        description="read the beginning of a text that is longer than the model reads, and name it "
        "in X-Truncated; if false, such a text is refused",
    )

    @property
    def is_calibrated(self) -> bool:
        """See Parameters."""
        return self.labels == "class"


class ClassificationRequest(TaskRequest):
    """Body of `POST /v1/sentiment` and `POST /v1/dialect`."""

    inputs: Texts
    parameters: ClassificationParameters | None = None


class LabelScore(Wire):
    """A label; `score` is in [0, 1], except under function_to_apply none."""

    label: str
    score: float


def _read(inputs: object, _: ClassificationParameters, limits: InputLimits) -> Reading:
    return read_texts(inputs, split=False, limits=limits)


def _long(parameters: ClassificationParameters) -> LongInput:
    return "cut" if parameters.truncate else "refuse"


def _stride(_: ClassificationParameters) -> None:
    return None


def _decoder(manifest: Manifest, parameters: ClassificationParameters) -> Decode:
    head, activation = manifest.head, parameters.function_to_apply
    assert isinstance(head, ClassHead)
    by_rating = parameters.labels == "rating"
    if by_rating and not head.rating:
        detail = f"{manifest.name} has no ratings, only the classes {', '.join(head.labels)}"
        raise RequestError(Fault("invalid_parameter", detail, field="parameters.labels"))

    def decode(_: EncodedText, outputs: Sequence[WindowOutputs]) -> list[dict[str, object]]:
        found = class_scores(head, outputs, activation=activation, by_rating=by_rating)
        return [
            {"label": label.label, "score": round(label.score, SCORE_DECIMALS)}
            for label in found[: parameters.top_k]
        ]

    return decode


def _assemble(_: Reading, answers: list[object]) -> object:
    """As Hugging Face's API, a list of lists even for a single text."""
    return answers


def _task(
    name: str, summary: str, first: str, second: str, *, labels: tuple[str, str]
) -> Task[ClassificationParameters]:
    """A task, with examples of two texts for the two labels."""
    answers: list[object] = [
        [{"label": best, "score": 0.93}, {"label": other, "score": 0.07}]
        for best, other in (labels, labels[::-1])
    ]
    return Task(
        name=name,
        summary=summary,
        request=ClassificationRequest,
        parameters=ClassificationParameters,
        reply=TypeAdapter(list[list[LabelScore]]),
        examples={
            "one text": ({"inputs": first}, answers[:1]),
            "several texts": ({"inputs": [first, second], "model": "default"}, answers),
            "the best label": (
                {"inputs": first, "parameters": {"top_k": 1}},
                [[{"label": labels[0], "score": 0.93}]],
            ),
        },
        read=_read,
        long=_long,
        stride=_stride,
        decoder=_decoder,
        assemble=_assemble,
    )


SENTIMENT = _task(
    "sentiment",
    "Sentiment of a text",
    "Un film foarte bun.",
    "Nu recomand.",
    labels=("positive", "negative"),
)
DIALECT = _task(
    "dialect",
    "Moldavian or Romanian dialect",
    "Am fost oleacă la Chișinău.",
    "Am fost puțin la București.",
    labels=("MD", "RO"),
)
