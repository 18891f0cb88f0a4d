"""Heads: which outputs a graph has and what they stand for.

Every task has its kinds of head (`HEADS_OF_TASK`), so a package can be checked against its route.
"""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.contract.encoded_text import LongInput
from app.contract.parse_labels import ParseLabel


class Part(BaseModel):
    """A part of the manifest; unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(NamedTuple):
    """An output of the graph.

    Attributes:
        name: in the graph.
        width: labels on its last axis; None if that axis is the tokens.
        per_token: shape (rows, length[, width]) instead of (rows, width).
    """

    name: str
    width: int | None
    per_token: bool


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) != len(labels):
        raise ValueError("labels repeat")
    return labels


def _bio(labels: tuple[str, ...]) -> tuple[str, ...]:
    odd = [label for label in labels if not re.fullmatch(r"O|[BI]-.+", label)]
    if odd or "O" not in labels:
        raise ValueError(f"BIO labels are O, B-X and I-X; got {odd or 'no O'}")
    return labels


Decoding = Literal["greedy", "viterbi"]
"""How BIO tags become an answer: each word's likeliest, or the likeliest together in which no I-X
stands without a B-X or I-X before it (app.contract.viterbi)."""
Labels = Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(_distinct)]
BioLabels = Annotated[Labels, AfterValidator(_bio)]


class TagHead(Part):
    """Labels of each word, read off its first subword: `logits`, and `xpos_logits` if any.

    Attributes:
        labels: universal part of speech of each logit.
        xpos: language-specific part of speech of each logit of the second output.
    """

    kind: Literal["tags"] = "tags"
    long: ClassVar[LongInput] = "windows"
    labels: Labels
    xpos: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Of the graph."""
        tags = Output("logits", len(self.labels), True)
        return (tags, Output("xpos_logits", len(self.xpos), True)) if self.xpos else (tags,)


class SpanHead(Part):
    """One BIO tag a word, read off its first subword; spans of words are the answer.

    Attributes:
        labels: tag of each logit: "O", "B-X", "I-X".
        decoding: how tags are chosen; packages that do not say were measured greedily.
    """

    kind: Literal["spans"] = "spans"
    long: ClassVar[LongInput] = "windows"
    labels: BioLabels
    decoding: Decoding = "greedy"

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Of the graph."""
        return (Output("logits", len(self.labels), True),)


class ClassHead(Part):
    """One label a text: `logits`; and a finer one by itself: `rating_logits`, if any.

    Attributes:
        labels: of each logit.
        rating: of each logit of the second output; none of them is a label too.
    """

    kind: Literal["classes"] = "classes"
    long: ClassVar[LongInput] = "cut"
    labels: Labels
    rating: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _tells_ratings_apart(self) -> "ClassHead":
        if len(self.rating) == 1:
            raise ValueError("rating: two labels or none are needed")
        _distinct(self.labels + self.rating)
        return self

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Of the graph."""
        classes = Output("logits", len(self.labels), False)
        if not self.rating:
            return (classes,)
        return (classes, Output("rating_logits", len(self.rating), False))


class ScoreHead(Part):
    """One number a pair of texts.

    Attributes:
        low: value of the logit that means 0.
        high: value of the logit that means 1.
    """

    kind: Literal["score"] = "score"
    long: ClassVar[LongInput] = "cut"
    low: float = 0.0
    high: float = 5.0

    @model_validator(mode="after")
    def _ascends(self) -> "ScoreHead":
        if not self.low < self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        return self

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Of the graph."""
        return (Output("logits", 1, False),)


class VectorHead(Part):
    """A vector of length 1 for each text of a pair, read apart; the score is their cosine.

    So a text that is compared with many is read once (a bi-encoder; Reimers and Gurevych 2019).

    Attributes:
        width: of a vector.
    """

    kind: Literal["vector"] = "vector"
    long: ClassVar[LongInput] = "cut"
    width: int = Field(ge=2)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Of the graph."""
        return (Output("vector", self.width, False),)


class ParseHead(Part):
    """One intent a text, and one BIO tag a word for each level of nesting.

    `intent_logits`, `slot_logits` for the outermost slots, `slot_logits_2` for those inside of
    them, and so on. Types are labels of app.contract.parse_labels.

    Attributes:
        intents: of each logit.
        slots: tag of each logit: "O", "B-X", "I-X".
        deeper: likewise, of each further level.
        decoding: how the tags of a level are chosen, as in SpanHead.
    """

    kind: Literal["parse"] = "parse"
    long: ClassVar[LongInput] = "refuse"
    intents: Labels
    slots: BioLabels
    deeper: tuple[BioLabels, ...] = ()
    decoding: Decoding = "greedy"

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Outputs of slots and their tags, outermost first."""
        inner = {f"slot_logits_{n}": tags for n, tags in enumerate(self.deeper, start=2)}
        return {"slot_logits": self.slots} | inner

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Of the graph."""
        return (
            Output("intent_logits", len(self.intents), False),
            *(Output(name, len(tags), True) for name, tags in self.levels.items()),
        )


class AnswerHead(Part):
    """Start and end of the answer to a question: `start_logits` and `end_logits`.

    The first token of a window stands for "the answer is not here".

    Attributes:
        can_abstain: whether it was trained with questions that have no answer.
        max_answer_tokens: longest answer, unless a request says otherwise.
    """

    kind: Literal["answer"] = "answer"
    long: ClassVar[LongInput] = "windows"
    can_abstain: bool = False
    max_answer_tokens: int = Field(30, ge=1)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Of the graph."""
        return (Output("start_logits", None, True), Output("end_logits", None, True))


Head = Annotated[
    TagHead | SpanHead | ClassHead | ScoreHead | VectorHead | ParseHead | AnswerHead,
    Field(discriminator="kind"),
]
NumberHead = ScoreHead | VectorHead
"""Heads that answer with a number from 0 to 1."""

HEADS_OF_TASK = {
    "tagging": ("tags",),
    "ner": ("spans",),
    "sentiment": ("classes",),
    "sts": ("score", "vector"),
    "dialect": ("classes",),
    "parse": ("parse",),
    "qa": ("answer",),
}
"""Kinds whose answers a task's route can give."""


def entity_types(tags: Sequence[str]) -> list[str]:
    """Types in the order of their BIO tags."""
    return list(dict.fromkeys(tag[2:] for tag in tags if tag != "O"))


def label_names(head: Head) -> list[str]:
    """What answers can say, in the head's order; nothing for numbers and spans of text."""
    match head:
        case SpanHead():
            return entity_types(head.labels)
        case TagHead() | ClassHead():
            return list(head.labels)
        case ParseHead():
            types = [kind for tags in head.levels.values() for kind in entity_types(tags)]
            names = [ParseLabel.of(label).name for label in (*head.intents, *types)]
            return list(dict.fromkeys(names))
        case _:
            return []
