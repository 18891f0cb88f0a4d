"""`tagging`: its requests, what their parameters mean, and how its answers look on the wire."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, TypeAdapter

from app.contract.decoding import tagged_words
from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.heads import TagHead
from app.contract.manifest import Manifest
from app.schemas import Entity, TaskRequest, TextInputs
from app.tasks.task import SCORE_DECIMALS, Decode, Task
from app.tasks.words import WordParameters, long_words, read_words, stride_of_words

TEXT = "Maria merge."
WORDS = [
    {"entity_group": "PROPN", "xpos": "Np", "score": 0.996, "word": "Maria", "start": 0, "end": 5},
    {
        "entity_group": "VERB",
        "xpos": "Vmip3s",
        "score": 0.991,
        "word": "merge",
        "start": 6,
        "end": 11,
    },
    {
        "entity_group": "PUNCT",
        "xpos": "PERIOD",
        "score": 0.999,
        "word": ".",
        "start": 11,
        "end": 12,
    },
]
EXAMPLES: dict[str, tuple[dict[str, object], object]] = {
    "one text": ({"inputs": TEXT}, WORDS),
    "several texts": ({"inputs": [TEXT, "Maria"], "model": "default"}, [WORDS, WORDS[:1]]),
    "one text split into words": (
        {"inputs": ["Maria", "merge"], "parameters": {"is_split_into_words": True}},
        WORDS[:2],
    ),
}


class TaggingParameters(WordParameters):
    """Parameters of `tagging`."""

    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = Field(
        "simple", description="changes nothing: every word is an item of its own"
    )
    ignore_labels: list[str] = Field(
        default=[],
        max_length=256,
        description="universal parts of speech to leave out; by default every word is an item",
    )


class TaggingRequest(TaskRequest):
    """Body of `POST /v1/tagging`."""

    inputs: TextInputs
    parameters: TaggingParameters | None = None


class TaggedWord(Entity):
    """A word and its parts of speech; a word that was not read is X with score 0."""

    entity_group: str = Field(description="universal part of speech")
    xpos: str | None = Field(
        description="language-specific part of speech; null if the model has none"
    )


Answer = list[TaggedWord]


def _decoder(manifest: Manifest, parameters: TaggingParameters) -> Decode:
    head, ignore = manifest.head, frozenset(parameters.ignore_labels)
    assert isinstance(head, TagHead)

    def decode(encoded: EncodedText, outputs: Sequence[WindowOutputs]) -> list[dict[str, object]]:
        return [
            {
                "entity_group": word.label,
                "xpos": word.xpos,
                "score": round(word.score, SCORE_DECIMALS),
                "word": encoded.text[word.start : word.end],
                "start": word.start,
                "end": word.end,
            }
            for word in tagged_words(head, encoded, outputs)
            if word.label not in ignore
        ]

    return decode


TAGGING = Task(
    name="tagging",
    summary="Parts of speech",
    request=TaggingRequest,
    parameters=TaggingParameters,
    reply=TypeAdapter(Answer | list[Answer]),
    examples=EXAMPLES,
    read=read_words,
    long=long_words,
    stride=stride_of_words,
    decoder=_decoder,
)
