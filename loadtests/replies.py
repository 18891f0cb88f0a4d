"""Whether a reply of /v1 is what README.md promises for its inputs."""

from collections.abc import Callable, Sequence
from typing import Any

from loadtests.inputs import Input


def fault(task: str, inputs: Sequence[Input], answers: object) -> str | None:
    """What is wrong with the body of a reply to several inputs; None if it fits them.

    >>> fault("sts", [{"text": "a", "text_pair": "b"}], [[0.5]])
    >>> fault("ner", ["Ion"], [[{"start": 0, "end": 3, "word": "Ana"}]])
    'word at 0:3 is not that part of the text'
    """
    if not isinstance(answers, list) or len(answers) != len(inputs):
        return f"{len(inputs)} inputs sent, the reply is not a list of as many"
    try:
        faults = (FAULTS[task](*pair) for pair in zip(inputs, answers, strict=True))
        return next(filter(None, faults), None)
    except (KeyError, TypeError, ValueError) as error:
        return f"the reply is not as documented: {error!r}"


def _in_spans(text: Any, items: Any) -> str | None:  # noqa: ANN401 - as it came
    end = 0
    for item in items:
        if not end <= item["start"] < item["end"] <= len(text):
            return f"offsets {item['start']}:{item['end']} out of order or bounds"
        end = item["end"]
        if item["word"] != text[item["start"] : end]:
            return f"word at {item['start']}:{end} is not that part of the text"
    return None


def _in_parse(text: Any, answer: Any) -> str | None:  # noqa: ANN401
    if not answer["tree"].startswith(f"[{answer['intent']['label']}"):
        return "the tree does not begin with the intent"
    return _in_spans(text, answer["slots"])


def _in_classes(text: Any, answer: Any) -> str | None:  # noqa: ANN401
    scores = [item["score"] for item in answer]
    is_sorted = scores == sorted(scores, reverse=True)
    return None if scores and is_sorted else "labels are missing or not sorted by score"


def _in_score(pair: Any, answer: Any) -> str | None:  # noqa: ANN401
    [score] = answer
    return None if 0 <= score <= 1 else f"the score {score} is not in [0, 1]"


def _in_answer(asked: Any, answer: Any) -> str | None:  # noqa: ANN401
    is_there = answer["answer"] == asked["context"][answer["start"] : answer["end"]]
    return None if is_there else "the answer is not that part of the context"


FAULTS: dict[str, Callable[[Any, Any], str | None]] = {
    "tagging": _in_spans,
    "ner": _in_spans,
    "sentiment": _in_classes,
    "dialect": _in_classes,
    "sts": _in_score,
    "parse": _in_parse,
    "qa": _in_answer,
}
