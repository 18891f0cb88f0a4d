"""Inputs that every task can be asked, and how near two answers have to be."""

from collections.abc import Callable

import pytest

SCORE_TOLERANCE = 1e-6
"""Of fp32 graphs whose rows do not meet; replies have six decimals."""

INPUT_OF: dict[str, Callable[[object], object]] = {
    "sts": lambda text: {"text": "Ion merge", "text_pair": text},
    "qa": lambda text: {"question": "Cine merge?", "context": text},
}
"""An input of a task, made of one text; of other tasks the text itself."""

TEXTS = [
    "Maria Ionescu merge la București.",
    "Ion",
    "bun și oleacă rău, plouă la Timis\u0327oara",
    "necunoscut 😀 e\u0301",
    "trezește Maria mâine dimineață",
    "puțin bun bun",
]


def given(task: str, text: object) -> object:
    return INPUT_OF.get(task, lambda text: text)(text)


def close_to(value: object) -> object:
    """The same JSON value, equal to any whose scores are close."""
    match value:
        case dict():
            return {key: close_to(item) for key, item in value.items()}
        case list():
            return [close_to(item) for item in value]
        case float():
            return pytest.approx(value, abs=SCORE_TOLERANCE)
    return value
