"""The tiny model gives a fifth of a point for each word that both texts have."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.app.harness import Api, assert_problem, serving
from tests.tiny_graphs import CRASH
from tests.tiny_package import MAX_TOKENS

pytestmark = pytest.mark.anyio

LIMITS = {"max_texts_per_request": 4, "max_chars_per_text": 100}


@pytest.fixture
async def api(only: Callable[..., Path]) -> AsyncIterator[Api]:
    async with serving(only("sts"), **LIMITS) as running:
        yield running


def pair(text: object, text_pair: object) -> dict[str, object]:
    return {"text": text, "text_pair": text_pair}


def many(source: object, *sentences: object) -> dict[str, object]:
    return {"source_sentence": source, "sentences": list(sentences)}


@pytest.mark.parametrize(
    ("inputs", "scores"),
    [
        (pair("Ion merge", "merge Ion"), [0.4]),
        (many("Ion merge", "Ion", "bun", "merge Ion"), [0.2, 0.0, 0.4]),
        ([pair("Ion", "Ion")], [[0.2]]),
        (
            [many("Ion", "Ion", "bun"), pair("Ion la", "la Ion"), many("bun", "rău")],
            [[0.2, 0.0], [0.4], [0.0]],
        ),
    ],
    ids=["two texts", "one text and many", "a list", "a mixed list"],
)
async def test_each_input_gets_a_list_of_scores(api: Api, inputs: object, scores: object) -> None:
    response = await api.ask("sts", inputs)

    assert response.headers["X-Model"] == "sts/tiny:1"
    assert response.json() == scores


async def test_scores_stay_between_zero_and_one(api: Api) -> None:
    """Three times three equal words would be nine fifths."""
    assert (await api.ask("sts", pair("Ion " * 3, "Ion " * 3))).json() == [1.0]


async def test_long_pairs_are_cut_and_named_by_the_input_they_belong_to(api: Api) -> None:
    long = "la " * MAX_TOKENS

    response = await api.ask("sts", [many("Ion", "Ion", "bun"), many("Ion", "Ion", long)])

    assert response.json() == [[0.2, 0.0], [0.2, 0.0]]
    assert response.headers["X-Truncated"] == "1"


async def test_long_pair_is_refused_without_truncation(api: Api) -> None:
    """A pair has three special tokens."""
    inputs = [many("Ion", "Ion", "bun"), pair("Ion", "la " * MAX_TOKENS)]

    response = await api.ask("sts", inputs, parameters={"truncate": False})

    assert_problem(response, 422, "text_too_long", "17 tokens, at most 13", index=1)


async def test_pair_that_breaks_the_model_is_named_by_the_input_it_belongs_to(api: Api) -> None:
    response = await api.ask("sts", [many("Ion", "Ion", "bun"), pair("Ion", CRASH)])

    assert_problem(response, 500, "inference_failed", index=1)


@pytest.mark.parametrize(
    ("inputs", "code", "mentioned", "index"),
    [
        ("Ion", "invalid_request", "got a string", None),
        ({}, "invalid_request", "got no field", 0),
        ({"text": "Ion"}, "invalid_request", "got text", 0),
        ({"sentences": ["Ion"]}, "invalid_request", "got sentences", 0),
        (pair("Ion", "bun") | many("Ion", "bun"), "invalid_request", "got text, text_pair", 0),
        (pair("Ion", "bun") | {"fără": 1}, "unknown_field", r"'f\u0103r\u0103'", 0),
        (many("Ion"), "no_inputs", "sentences is an empty list", 0),
        ({"source_sentence": "Ion", "sentences": "Ion"}, "invalid_request", "list of texts", 0),
        (many("Ion", "bun", 5), "invalid_request", "one of sentences must be a string", 0),
        (many(None, "bun"), "invalid_request", "source_sentence must be a string, got null", 0),
        ([pair("Ion", "bun"), pair("Ion", " ")], "empty_text", "text_pair is empty", 1),
        ([pair("Ion", "bun"), many("Ion", "")], "empty_text", "one of sentences is empty", 1),
        ([pair("Ion", "bun"), "Ion"], "invalid_request", "got a string", 1),
        (pair("Ion", "a" * 101), "text_too_long", "101 characters", 0),
        ([many("Ion", *["bun"] * 3), many("Ion", "a", "b")], "too_many_inputs", "5 pairs", None),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
async def test_input_of_another_form_is_422_with_its_index(
    api: Api, inputs: object, code: str, mentioned: str, index: int | None
) -> None:
    assert_problem(await api.ask("sts", inputs), 422, code, mentioned, index=index)


async def test_every_faulty_text_is_reported(api: Api) -> None:
    response = await api.ask("sts", [many("", "Ion", "\0"), pair("Ion", 1)])

    assert [(e["index"], e["field"], e["code"]) for e in response.json()["errors"]] == [
        (0, "inputs.source_sentence", "empty_text"),
        (0, "inputs.sentences", "invalid_text"),
        (1, "inputs.text_pair", "invalid_request"),
    ]


async def test_tensors_of_pairs_give_a_tensor_of_scores(api: Api) -> None:
    tensors = [
        {"name": name, "shape": [2], "datatype": "BYTES", "data": data}
        for name, data in [("text", ["Ion", "bun"]), ("text_pair", ["Ion", "rău"])]
    ]

    response = await api.http.post("/v2/models/sts/infer", json={"inputs": tensors})

    assert response.json()["outputs"] == [
        {"name": "score", "datatype": "FP32", "shape": [2], "data": [pytest.approx(0.2), 0.0]}
    ]
