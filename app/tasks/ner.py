"""`ner`: its requests, what their parameters mean, and how its answers look on the wire."""

from collections.abc import Collection, Sequence
from typing import Literal

from pydantic import Field, TypeAdapter

from app.contract.decoding import Tag, decode_tags, entities
from app.contract.encoded_text import EncodedText, WindowOutputs
from app.contract.heads import SpanHead
from app.contract.manifest import Manifest
from app.schemas import Entity, TaskRequest, TextInputs, Wire
from app.tasks.task import SCORE_DECIMALS, Decode, Task
from app.tasks.words import WordParameters, long_words, read_words, stride_of_words

TEXT = "Maria Ionescu lucrează la București."
ENTITIES = [
    {"entity_group": "PERSON", "score": 0.998, "word": "Maria Ionescu", "start": 0, "end": 13},
    {"entity_group": "GPE", "score": 0.995, "word": "București", "start": 26, "end": 35},
]
EXAMPLES: dict[str, tuple[dict[str, object], object]] = {
    "one text": ({"inputs": TEXT}, ENTITIES),
    "several texts": (
        {"inputs": [TEXT, "Nimic aici."], "model": "default"},
        [ENTITIES, []],
    ),
    "one text split into words": (
        {
            "inputs": ["Maria", "Ionescu", "lucrează", "la", "București", "."],
            "parameters": {"is_split_into_words": True},
        },
        ENTITIES,
    ),
    "one item a word": (
        {"inputs": "Maria tace.", "parameters": {"aggregation_strategy": "none"}},
        [{"entity": "B-PERSON", "score": 0.99, "index": 1, "word": "Maria", "start": 0, "end": 5}],
    ),
}


class NerParameters(WordParameters):
    """Parameters of `ner`."""

    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = Field(
        "simple",
        description="none: one item a labelled word; the others all give entities and do not "
        "differ, since models decide once a word",
    )
    ignore_labels: list[str] = Field(
        default=["O"],
        max_length=256,
        description="labels to leave out; words outside of entities (O) are never part of "
        "aggregated replies",
    )


class NerRequest(TaskRequest):
    """Body of `POST /v1/ner`."""

    inputs: TextInputs
    parameters: NerParameters | None = None


class LabelledWord(Wire):
    """A word and its tag, for aggregation_strategy none; `index` counts words from 1."""

    entity: str
    score: float = Field(ge=0, le=1)
    index: int = Field(ge=1)
    word: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)


Answer = list[Entity] | list[LabelledWord]
Items = list[dict[str, object]]


def _decoder(manifest: Manifest, parameters: NerParameters) -> Decode:
    assert isinstance(manifest.head, SpanHead)
    head, ignore = manifest.head, frozenset(parameters.ignore_labels)
    make = _words if parameters.aggregation_strategy == "none" else _entities

    def decode(encoded: EncodedText, outputs: Sequence[WindowOutputs]) -> Items:
        tags = decode_tags(encoded, outputs, head.labels, decoding=head.decoding)
        return make(encoded, tags, ignore)

    return decode


def _entities(encoded: EncodedText, tags: Sequence[Tag], ignore: Collection[str]) -> Items:
    return [
        {
            "entity_group": entity.label,
            "score": round(entity.score, SCORE_DECIMALS),
            "word": encoded.text[entity.start : entity.end],
            "start": entity.start,
            "end": entity.end,
        }
        for entity in entities(encoded, tags, ignore=ignore)
    ]


def _words(encoded: EncodedText, tags: Sequence[Tag], ignore: Collection[str]) -> Items:
    return [
        {
            "entity": tag.label,
            "score": round(tag.score, SCORE_DECIMALS),
            "index": index,
            "word": encoded.text[word.start : word.end],
            "start": word.start,
            "end": word.end,
        }
        for index, (word, tag) in enumerate(zip(encoded.words, tags, strict=True), 1)
        # As in transformers a tag can be named; its type alone too, as in aggregated replies.
        if tag.label not in ignore and tag.label[2:] not in ignore
    ]


NER = Task(
    name="ner",
    summary="Named entities",
    request=NerRequest,
    parameters=NerParameters,
    reply=TypeAdapter(Answer | list[Answer]),
    examples=EXAMPLES,
    read=read_words,
    long=long_words,
    stride=stride_of_words,
    decoder=_decoder,
)
