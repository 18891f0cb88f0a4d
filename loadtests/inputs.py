"""Requests for any task, under /v1 and /v2, from the texts of this folder."""

import json
from collections.abc import Mapping

from loadtests.connection import post
from loadtests.texts import ARTICLES, HEADLINES, PARAGRAPHS, SENTENCES, TEXTS

Input = str | Mapping[str, str]
"""One value of `inputs` under /v1."""

QUESTIONS = ("Cine este numit în text?", "Unde s-a întâmplat?", "Când a avut loc?")


def inputs_of(task: str) -> list[Input]:
    """Inputs of mixed lengths for a task."""
    if task == "sts":
        return [
            {"text": one, "text_pair": other}
            for texts in (HEADLINES, SENTENCES)
            for one, other in zip(texts, texts[1:] + texts[:1], strict=True)
        ]
    if task == "qa":
        contexts = SENTENCES + PARAGRAPHS + ARTICLES
        return [
            {"question": QUESTIONS[at % len(QUESTIONS)], "context": context}
            for at, context in enumerate(contexts)
        ]
    return list(TEXTS)


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
