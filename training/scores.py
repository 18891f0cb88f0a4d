"""Answers of the pipeline, whoever gave them, against gold: what a cascade is measured by."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.contract.answers import FoundAnswer
from app.contract.decoding import Answer, ClassScore, Entity, Parse, TaggedWord
from app.contract.encoded_text import Input, Pair
from app.contract.heads import AnswerHead, ClassHead, Head, ParseHead, SpanHead, TagHead
from app.contract.manifest import Score
from training.answer_scores import answer_quality
from training.datasets.examples import (
    Example,
    LabelledPair,
    LabelledText,
    Question,
    ScoredPair,
    TaggedSentence,
    Utterance,
)
from training.errors import DataError
from training.gold_spans import looked_for, placed_spans
from training.metrics import Span, accuracy, macro_f1, strict_f1
from training.parse_metrics import frame_exact_match

Kind = TypeVar("Kind")


def input_of(example: Example, head: Head) -> Input:
    """An example as a request puts it: running text; words only where gold needs them (tags)."""
    match example:
        case TaggedSentence() if isinstance(head, TagHead):
            return example.words
        case Question():
            return Pair(example.question, example.context)
        case LabelledPair() | ScoredPair():
            return Pair(example.first, example.second)
        case _:
            return example.text


def key_of(example: Example) -> str:
    """What stands or falls together: an example, or all questions on one context."""
    return example.context if isinstance(example, Question) else example.text


def groups_of(examples: Iterable[Example]) -> NDArray[np.int64]:
    """Number of the group (`key_of`) of each example, from 0 without gaps."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key_of(e), len(numbers)) for e in examples], np.int64)


def scores(head: Head, examples: Sequence[Example], answers: Sequence[Answer]) -> dict[str, Score]:
    """The scores of a task, each with its interval.

    Args:
        head: that gave the answers; not a score head, whose answers no cascade gives.
        examples: gold.
        answers: one an example, to its `input_of`.

    Raises:
        DataError: the examples are no gold for this head.
    """
    match head:
        case SpanHead():
            sentences = _only(TaggedSentence, examples)
            spans = looked_for([_spans(a) for a in answers], sentences)
            gold = [placed_spans(sentence) for sentence in sentences]
            return {"strict_f1_running_text": strict_f1(spans, gold)}
        case TagHead():
            tags = [sentence.tags or () for sentence in _only(TaggedSentence, examples)]
            owners = np.repeat(np.arange(len(tags)), [len(each) for each in tags])
            predicted = [word.label for a in answers for word in _listed(TaggedWord, a)]
            truth = [tag for each in tags for tag in each]
            return {"upos_accuracy": accuracy(predicted, truth, owners)}
        case ClassHead():
            truth = [text.label for text in _only(LabelledText, examples)]
            predicted = [_listed(ClassScore, answer)[0].label for answer in answers]
            return {"accuracy": accuracy(predicted, truth), "macro_f1": macro_f1(predicted, truth)}
        case ParseHead():
            frames = [(u.intent, placed_spans(u.sentence)) for u in _only(Utterance, examples)]
            parses = _only(Parse, answers)
            found = [(p.intent.label, _spans(list(p.slots))) for p in parses]
            return {"frame_exact_match": frame_exact_match(found, frames)}
        case AnswerHead():
            questions = _only(Question, examples)
            best = [_listed(FoundAnswer, answer)[0] for answer in answers]
            return answer_quality(best, questions, groups_of(questions))
        case _:
            raise DataError(f"a cascade has no answers of kind {head.kind!r}")


def _only(kind: type[Kind], items: Sequence[object]) -> list[Kind]:
    found = [item for item in items if isinstance(item, kind)]
    if len(found) < len(items):
        other = next(type(item).__name__ for item in items if not isinstance(item, kind))
        raise DataError(f"{kind.__name__} is needed for this task, got {other}")
    return found


def _listed(kind: type[Kind], answer: Answer) -> list[Kind]:
    return _only(kind, answer if isinstance(answer, list) else [answer])


def _spans(answer: Answer) -> set[Span]:
    return {(entity.label, entity.start, entity.end) for entity in _listed(Entity, answer)}
