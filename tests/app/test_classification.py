"""`sentiment` and `dialect`, which differ in name only."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from tests.app.harness import Api, assert_problem, serving
from tests.tiny_package import MAX_TOKENS, build, write_aliases
from tests.tiny_pairs import calibrate

pytestmark = pytest.mark.anyio

WORDS = {"sentiment": ("rău", "bun"), "dialect": ("oleacă", "puțin")}
"""A word for each label."""

LABELS = {"sentiment": ("negative", "positive"), "dialect": ("MD", "RO")}


@pytest.fixture(params=["sentiment", "dialect"])
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def api(task: str, only: Callable[..., Path]) -> AsyncIterator[Api]:
    async with serving(only(task)) as running:
        yield running


def scored(label: str, score: float) -> dict[str, object]:
    return {"label": label, "score": pytest.approx(score, abs=1e-6)}  # replies have six decimals


def sigmoid(logit: float) -> float:
    """Also the probability of a label among two, by the difference of their logits."""
    return float(1 / (1 + np.exp(-logit)))


async def test_one_text_gives_a_list_with_one_list_of_all_labels_best_first(
    api: Api, task: str
) -> None:
    """The word speaks for the second label, with a logit of 1 against 0."""
    response = await api.ask(task, WORDS[task][1])

    first, second = LABELS[task]
    assert response.headers["X-Model"] == f"{task}/tiny:1"
    assert response.json() == [[scored(second, sigmoid(1)), scored(first, sigmoid(-1))]]


async def test_list_gives_one_inner_list_a_text_in_order(api: Api, task: str) -> None:
    (first, second), (word, other) = LABELS[task], WORDS[task]

    answer = (await api.ask(task, [word, f"{other} {other}", "Ion"])).json()

    assert answer == [
        [scored(first, sigmoid(1)), scored(second, sigmoid(-1))],
        [scored(second, sigmoid(2)), scored(first, sigmoid(-2))],
        [scored(first, 0.5), scored(second, 0.5)],
    ]


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (3, 2), (None, 2)])
async def test_top_k_cuts_the_labels(api: Api, task: str, top_k: int | None, count: int) -> None:
    answer = (await api.ask(task, WORDS[task][1], parameters={"top_k": top_k})).json()

    assert len(answer[0]) == count
    assert answer[0][0]["label"] == LABELS[task][1]


@pytest.mark.parametrize(
    ("function", "scores"),
    [
        ("softmax", (sigmoid(2), sigmoid(-2))),
        ("sigmoid", (sigmoid(2), 0.5)),
        ("none", (2.0, 0.0)),
    ],
)
async def test_function_to_apply_turns_logits_into_scores(
    api: Api, task: str, function: str, scores: tuple[float, float]
) -> None:
    word, (first, second) = WORDS[task][0], LABELS[task]
    parameters = {"function_to_apply": function}

    answer = (await api.ask(task, f"{word} {word}", parameters=parameters)).json()

    assert answer == [[scored(first, scores[0]), scored(second, scores[1])]]


async def test_long_text_is_cut_and_named_by_default(api: Api, task: str) -> None:
    """The first 14 words speak for the first label, as many as a window has beside two specials."""
    word, other = WORDS[task]
    long = f"{word} " * 14 + f"{other} " * MAX_TOKENS * 2

    response = await api.ask(task, [other, long])

    assert response.headers["X-Truncated"] == "1"
    assert response.json()[1][0] == scored(LABELS[task][0], sigmoid(14))
    assert await api.total("loyal_truncated_texts_total", task=task) == 1


async def test_long_text_is_refused_without_truncation(api: Api, task: str) -> None:
    inputs = ["Ion", "Ion " * MAX_TOKENS]

    response = await api.ask(task, inputs, parameters={"truncate": False})

    assert_problem(response, 422, "text_too_long", "16 tokens, at most 14", index=1)


@pytest.mark.parametrize(
    ("parameters", "mentioned"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"function_to_apply": "relu"}, "'softmax'"),
        ({"labels": "stars"}, "'class' or 'rating'"),
        ({"labels": None}, "labels"),
    ],
)
async def test_other_values_of_parameters_are_422(
    api: Api, task: str, parameters: dict[str, object], mentioned: str
) -> None:
    response = await api.ask(task, "Ion", parameters=parameters)

    assert_problem(response, 422, "invalid_parameter", mentioned)


async def test_tensors_hold_the_best_label_and_every_probability(api: Api, task: str) -> None:
    body = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": WORDS[task]}]}

    outputs = (await api.http.post(f"/v2/models/{task}/infer", json=body)).json()["outputs"]

    by_name = {output["name"]: (output["shape"], output["data"]) for output in outputs}
    high, low = sigmoid(1), sigmoid(-1)
    assert by_name == {
        "label": ([2], list(LABELS[task])),
        "score": ([2], pytest.approx([high, high], abs=1e-6)),
        "probabilities": ([2, 2], pytest.approx([high, low, low, high], abs=1e-6)),
    }


@pytest.fixture
async def reviews(only: Callable[..., Path]) -> AsyncIterator[Api]:
    """The sentiment model, which has ratings too."""
    async with serving(only("sentiment")) as running:
        yield running


async def test_ratings_are_given_if_they_are_asked_for(reviews: Api) -> None:
    """The word speaks for five stars, with a logit of 1 against three of 0."""
    answer = (await reviews.ask("sentiment", ["bun"], parameters={"labels": "rating"})).json()

    five = float(np.e / (np.e + 3))
    rest = [scored(label, (1 - five) / 3) for label in ("1", "2", "4")]
    assert answer == [[scored("5", five), *rest]]


async def test_other_parameters_hold_for_ratings_too(reviews: Api) -> None:
    parameters = {"labels": "rating", "top_k": 1, "function_to_apply": "none"}

    answer = (await reviews.ask("sentiment", "rău rău", parameters=parameters)).json()

    assert answer == [[scored("1", 2.0)]]


async def test_a_model_without_ratings_refuses_to_rate(only: Callable[..., Path]) -> None:
    async with serving(only("dialect")) as api:
        response = await api.ask("dialect", "Ion", parameters={"labels": "rating"})

    assert_problem(response, 422, "invalid_parameter", "no ratings, only the classes MD, RO")
    assert response.json()["errors"][0]["field"] == "parameters.labels"


async def test_a_cascade_refuses_to_rate(tmp_path: Path) -> None:
    for model in ("tiny", "big"):
        build(tmp_path, task="sentiment", model=model)
    calibrate(tmp_path / "sentiment/tiny/1", threshold=0.5, task="sentiment")
    write_aliases(tmp_path, task="sentiment", default="tiny", teacher="big")

    async with serving(tmp_path) as api:
        response = await api.ask(
            "sentiment", "bun", model="cascade", parameters={"labels": "rating"}
        )

    assert_problem(response, 422, "not_calibrated", "not for ratings")


async def test_ratings_are_listed_with_the_model(reviews: Api) -> None:
    models = (await reviews.http.get("/v1/models/sentiment/tiny")).json()

    assert models["labels"] == ["negative", "positive"]
    assert models["rating"] == ["1", "2", "4", "5"]


async def test_tensors_of_ratings_hold_every_rating_in_the_order_of_the_model(
    reviews: Api,
) -> None:
    body = {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["bun bun"]}],
        "parameters": {"labels": "rating"},
    }

    outputs = (await reviews.http.post("/v2/models/sentiment/infer", json=body)).json()["outputs"]

    five, rest = np.exp(2) / (np.exp(2) + 3), 1 / (np.exp(2) + 3)
    by_name = {output["name"]: (output["shape"], output["data"]) for output in outputs}
    assert by_name == {
        "label": ([1], ["5"]),
        "score": ([1], pytest.approx([five], abs=1e-6)),
        "probabilities": ([1, 4], pytest.approx([rest, rest, rest, five], abs=1e-6)),
    }


async def test_the_number_of_probabilities_is_open_where_there_are_ratings(
    only: Callable[..., Path],
) -> None:
    shapes = {}
    for task in ("sentiment", "dialect"):
        async with serving(only(task)) as api:
            outputs = (await api.http.get(f"/v2/models/{task}")).json()["outputs"]
        shapes[task] = {output["name"]: output["shape"] for output in outputs}["probabilities"]

    assert shapes == {"sentiment": [-1, -1], "dialect": [-1, 2]}
