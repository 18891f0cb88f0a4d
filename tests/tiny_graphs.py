"""A tiny graph for every kind of head: tables say what each word stands for, sums do the rest.

Two words are poison: CRASH makes every graph fail, INFINITE makes it put out infinite numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from app.contract.heads import (
    AnswerHead,
    ClassHead,
    Head,
    ParseHead,
    ScoreHead,
    SpanHead,
    TagHead,
    VectorHead,
)

TAGS = {
    "Maria": "B-PERSON",
    "Ion": "B-PERSON",
    "Ionescu": "I-PERSON",
    "București": "B-GPE",
    "Timișoara": "B-GPE",
    "Iași": "B-GPE",
    "la": "O",
    "merge": "O",
    "și": "O",
    ".": "O",
}
UPOS = dict.fromkeys(("Maria", "Ion", "Ionescu", "București", "Timișoara", "Iași"), "PROPN") | {
    "la": "ADP",
    "merge": "VERB",
    "și": "CCONJ",
    ".": "PUNCT",
}
XPOS = {"merge": "Vmip3s", "la": "Spsa", "și": "Crssp", ".": "PERIOD"}
SENTIMENT = {"bun": "positive", "rău": "negative"}
RATING = {"bun": "5", "puțin": "4", "oleacă": "2", "rău": "1"}
DIALECT = {"oleacă": "MD", "puțin": "RO"}
INTENTS = {"trezește": "IN:CREATE_ALARM", "plouă": "IN:GET_WEATHER"}
SLOTS = {
    "Iași": "B-SL:LOCATION",
    "București": "B-SL:LOCATION",
    "mâine": "B-SL:DATE_TIME",
    "dimineață": "I-SL:DATE_TIME",
}
QUESTIONS = {"Cine": "PERSON", "Unde": "GPE"}
"""The type of what each question word asks for; the answer is what TAGS call by that type."""

INFINITE = "infinite"
CRASH = "crash"
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_WORDS = dict.fromkeys(
    word
    for words in (TAGS, SENTIMENT, DIALECT, INTENTS, SLOTS, QUESTIONS)
    for word in words
)  # fmt: skip
VOCABULARY = (*SPECIALS, *_WORDS, INFINITE, CRASH)

MARGIN = 8.0
"""Logit of a word's tag; the others are 0."""

EVIDENCE = 1.0
"""What each word adds to the logit of the class that it speaks for."""

LABELS = ("O", "B-PERSON", "I-PERSON", "B-GPE", "I-GPE")
HEADS: dict[str, Head] = {
    "tagging": TagHead(
        labels=("X", "ADP", "CCONJ", "PROPN", "PUNCT", "VERB"),
        xpos=("Np", "Crssp", "PERIOD", "Spsa", "Vmip3s"),
    ),
    "ner": SpanHead(labels=LABELS),
    "sentiment": ClassHead(labels=("negative", "positive"), rating=("1", "2", "4", "5")),
    "dialect": ClassHead(labels=("MD", "RO")),
    "sts": ScoreHead(),
    "parse": ParseHead(
        intents=("IN:CREATE_ALARM", "IN:GET_WEATHER"),
        slots=("O", "B-SL:DATE_TIME", "I-SL:DATE_TIME", "B-SL:LOCATION", "I-SL:LOCATION"),
    ),
    "qa": AnswerHead(can_abstain=True),
}
"""Of the tiny package of each task; a word that is not in a head's table gets its first label."""

VECTORS = VectorHead(width=len(_WORDS))
"""Of a second model of sts: a text is the words in it, counted."""

Table = NDArray[np.float32]

_ALL = "int64[rows,length] input_ids, int64[rows,length] attention_mask"
_PAIR = f"{_ALL}, int64[rows,length] token_type_ids"


@dataclass(frozen=True, slots=True)
class _Draft:
    """A graph in ONNX's textual form, and its constants."""

    text: str
    constants: Mapping[str, NDArray[np.generic]]


def tiny_graph(head: Head, *, opset: int) -> onnx.ModelProto:
    """The graph of a head; no row depends on another, nor on padding."""
    draft = _draft(head)
    graph = parser.parse_graph(draft.text)
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in draft.constants.items()
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _draft(head: Head) -> _Draft:
    tokens, labels = np.array([1]), np.array([2])
    match head:
        case TagHead():
            return _tags(head)
        case SpanHead():
            return _Draft(
                f"tiny ({_ALL}) => (float[rows,length,{len(head.labels)}] logits) "
                "{ logits = Gather(table, input_ids) }",
                {"table": _tag_table(TAGS, head.labels)},
            )
        case ClassHead():
            return _classes(head, tokens)
        case ScoreHead():
            # Pairs of the same word on both sides, counted.
            return _Draft(
                f"tiny ({_PAIR}) => (float[rows,1] logits) "
                "{ words = Gather(table, input_ids)"
                "  segment = Cast<to=1>(token_type_ids)"
                "  in_second = Unsqueeze(segment, tokens)"
                "  second = MatMul(in_second, words)"
                "  both = ReduceSum<keepdims=1>(words, tokens)"
                "  first = Sub(both, second)"
                "  shared = Mul(first, second)"
                "  logits = ReduceSum<keepdims=0>(shared, labels) }",
                {
                    "table": _table({word: word for word in _WORDS}, tuple(_WORDS), 1.0),
                    "tokens": tokens,
                    "labels": labels,
                },
            )
        case VectorHead():
            return _Draft(
                f"tiny ({_ALL}) => (float[rows,{head.width}] vector) "
                "{ words = Gather(table, input_ids)"
                "  counts = ReduceSum<keepdims=0>(words, tokens)"
                "  length = ReduceL2<axes=[1], keepdims=1>(counts)"
                "  divisor = Max(length, tiny)"
                "  vector = Div(counts, divisor) }",
                {
                    "table": _table({word: word for word in _WORDS}, tuple(_WORDS), 1.0),
                    "tokens": tokens,
                    "tiny": np.array([1e-6], np.float32),
                },
            )
        case ParseHead():
            return _Draft(
                f"tiny ({_ALL}) => (float[rows,{len(head.intents)}] intent_logits,"
                f" float[rows,length,{len(head.slots)}] slot_logits) "
                "{ evidence = Gather(intents, input_ids)"
                "  intent_logits = ReduceSum<keepdims=0>(evidence, tokens)"
                "  slot_logits = Gather(slots, input_ids) }",
                {
                    "intents": _table(INTENTS, head.intents, EVIDENCE),
                    "slots": _tag_table(SLOTS, head.slots),
                    "tokens": tokens,
                },
            )
        case AnswerHead():
            return _answer(tokens, labels)


def _tags(head: TagHead) -> _Draft:
    logits = f"float[rows,length,{len(head.labels)}] logits"
    constants = {"table": _tag_table(UPOS, head.labels)}
    if not head.xpos:
        text = f"tiny ({_ALL}) => ({logits}) {{ logits = Gather(table, input_ids) }}"
        return _Draft(text, constants)
    return _Draft(
        f"tiny ({_ALL}) => ({logits}, float[rows,length,{len(head.xpos)}] xpos_logits) "
        "{ logits = Gather(table, input_ids)"
        "  xpos_logits = Gather(xpos, input_ids) }",
        constants | {"xpos": _tag_table(XPOS, head.xpos)},
    )


def _classes(head: ClassHead, tokens: NDArray[np.int64]) -> _Draft:
    words = SENTIMENT if "positive" in head.labels else DIALECT
    output = f"float[rows,{len(head.labels)}] logits"
    body = "evidence = Gather(table, input_ids)  logits = ReduceSum<keepdims=0>(evidence, tokens)"
    constants = {"table": _table(words, head.labels, EVIDENCE), "tokens": tokens}
    if head.rating:
        output += f", float[rows,{len(head.rating)}] rating_logits"
        body += (
            "  stars = Gather(ratings, input_ids)"
            "  rating_logits = ReduceSum<keepdims=0>(stars, tokens)"
        )
        constants |= {"ratings": _table(RATING, head.rating, EVIDENCE)}
    return _Draft(f"tiny ({_ALL}) => ({output}) {{ {body} }}", constants)


def _answer(tokens: NDArray[np.int64], labels: NDArray[np.int64]) -> _Draft:
    """Words of the context count for what the question asks; the first token for "not here"."""
    types = tuple(dict.fromkeys(QUESTIONS.values()))
    opening = {word: tag[2:] for word, tag in TAGS.items() if tag.startswith("B-")}
    inside = {word: tag[2:] for word, tag in TAGS.items() if tag.startswith("I-")}
    return _Draft(
        f"tiny ({_PAIR}) => (float[rows,length] start_logits, float[rows,length] end_logits) "
        "{ question = Gather(questions, input_ids)"
        "  asked = ReduceSum<keepdims=1>(question, tokens)"
        "  segment = Cast<to=1>(token_type_ids)"
        "  in_context = Unsqueeze(segment, labels)"
        "  wanted = Mul(in_context, asked)"
        "  nothing = Gather(nulls, input_ids)"
        "  first = Gather(firsts, input_ids)"
        "  last = Gather(lasts, input_ids)"
        "  first_wanted = Mul(first, wanted)"
        "  last_wanted = Mul(last, wanted)"
        "  start = ReduceSum<keepdims=0>(first_wanted, labels)"
        "  end = ReduceSum<keepdims=0>(last_wanted, labels)"
        "  start_logits = Add(start, nothing)"
        "  end_logits = Add(end, nothing) }",
        {
            "questions": _table(QUESTIONS, types, 1.0),
            "firsts": _table(opening, types, MARGIN),
            # A word that goes on with an answer ends it rather than the one before.
            "lasts": _table(opening, types, MARGIN) + _table(inside, types, 2 * MARGIN),
            "nulls": _table({"[CLS]": "null"}, ("null",), MARGIN / 2)[:, 0],
            "tokens": tokens,
            "labels": labels,
        },
    )


def _table(words: Mapping[str, str], labels: Sequence[str], value: float) -> Table:
    """What each id adds to each label, shape (ids, labels); CRASH has an id but no row."""
    table = np.zeros((len(VOCABULARY) - 1, len(labels)), np.float32)
    for word, label in words.items():
        table[VOCABULARY.index(word), labels.index(label)] = value
    table[VOCABULARY.index(INFINITE)] = np.inf
    return table


def _tag_table(words: Mapping[str, str], labels: Sequence[str]) -> Table:
    """As `_table`, with MARGIN for the first label where a word is not listed."""
    return _table({word: words.get(word, labels[0]) for word in VOCABULARY[:-1]}, labels, MARGIN)
