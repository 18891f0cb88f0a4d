"""Requests for any task, under /v1 and /v2, from the texts of this folder."""

import json
import random
from collections.abc import Mapping, Sequence

from loadtests.connection import post
from loadtests.texts import (
    ARTICLES,
    HEADLINES,
    PARAGRAPHS,
    REVIEWS,
    SENTENCES,
    UTTERANCES,
)

Input = str | Mapping[str, str]
"""One value of `inputs` under /v1."""

QUESTIONS = ("Cine este numit în text?", "Unde s-a întâmplat?", "Când a avut loc?")


def _pairs(texts: Sequence[str]) -> list[Input]:
    neighbours = zip(texts, (*texts[1:], texts[0]), strict=True)
    return [{"text": one, "text_pair": other} for one, other in neighbours]


def _questions(contexts: Sequence[str]) -> list[Input]:
    return [
        {"question": QUESTIONS[at % len(QUESTIONS)], "context": context}
        for at, context in enumerate(contexts)
    ]


MIXES: dict[str, tuple[tuple[int, Sequence[Input]], ...]] = {
    "tagging": ((2, HEADLINES), (6, SENTENCES), (2, PARAGRAPHS)),
    "ner": ((3, HEADLINES), (4, SENTENCES), (2, PARAGRAPHS), (1, ARTICLES)),
    "sentiment": ((1, REVIEWS),),
    "dialect": ((2, SENTENCES), (6, PARAGRAPHS), (2, ARTICLES)),
    "sts": ((4, _pairs(HEADLINES)), (6, _pairs(SENTENCES))),
    "parse": ((1, UTTERANCES),),
    "qa": ((8, _questions(PARAGRAPHS)), (2, _questions(ARTICLES))),
}
"""Of each task its kinds of input, with how often they come: what such models are asked in practice
is short for commands, a sentence or two for tags and pairs, a paragraph and more for questions."""


def inputs_of(task: str) -> list[Input]:
    """Inputs of mixed lengths for a task, each once."""
    return [value for _, kind in MIXES[task] for value in kind]


def draw(task: str, chooser: random.Random) -> Input:
    """An input for a task, as often as such inputs come."""
    weights, kinds = zip(*MIXES[task], strict=True)
    return chooser.choice(chooser.choices(kinds, weights)[0])


def words(value: Input) -> int:
    """Length of an input, between spaces."""
    texts = [value] if isinstance(value, str) else value.values()
    return sum(len(text.split()) for text in texts)


def v1(task: str, value: Input, *, model: str | None = None) -> bytes:
    """A request with one input."""
    body = {"inputs": value} | ({"model": model} if model else {})
    return post(f"/v1/{task}", json.dumps(body).encode())


def v2(task: str, value: Input, *, model: str | None = None) -> bytes:
    """The same in the Open Inference Protocol."""
    texts = {"text": value} if isinstance(value, str) else value
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [text]}
        for name, text in texts.items()
    ]
    name = f"{task}.{model}" if model else task
    return post(f"/v2/models/{name}/infer", json.dumps({"inputs": tensors}).encode())
