"""A model of sts that reads texts apart: the tiny one counts words, and compares the counts."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.contract.encoded_text import Arrays
from app.contract.errors import PackageError
from app.contract.golden import replay
from app.contract.pipeline import Outputs, Package
from tests.app.harness import Api, assert_problem, serving, until
from tests.app.test_sts import many, pair
from tests.tiny_graphs import CRASH, VECTORS
from tests.tiny_package import MAX_TOKENS, build, write_aliases

pytestmark = pytest.mark.anyio

HALF = pytest.approx(math.sqrt(1 / 2), abs=1e-6)
"""Cosine of a word and of that word with another."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    build(tmp_path, task="sts", model="bi", head=VECTORS)
    build(tmp_path, task="sts", model="cross")
    write_aliases(tmp_path, task="sts", default="bi", teacher="cross")
    return tmp_path


@pytest.fixture
async def api(store: Path) -> AsyncIterator[Api]:
    async with serving(store) as running:
        yield running


@pytest.mark.parametrize(
    ("inputs", "scores"),
    [
        (pair("Ion merge", "merge Ion"), [1.0]),
        (many("Ion merge", "Ion", "bun", "merge Ion"), [HALF, 0.0, 1.0]),
        ([many("Ion", "Ion", "bun"), pair("Ion la", "Ion")], [[1.0, 0.0], [HALF]]),
        (pair("necunoscut", "necunoscut"), [0.0]),
    ],
    ids=["two texts", "one text and many", "a mixed list", "texts without a known word"],
)
async def test_each_pair_gets_the_cosine_of_its_vectors(
    api: Api, inputs: object, scores: object
) -> None:
    response = await api.ask("sts", inputs)

    assert response.headers["X-Model"] == "sts/bi:1"
    assert [response.json()] == [scores]


async def test_each_distinct_text_of_a_request_is_read_once(api: Api) -> None:
    """Four texts in seven pairs, padded to four tokens each."""
    inputs = [many("Ion merge", "Ion", "bun", "merge Ion", "Ion merge"), many("Ion", *["bun"] * 3)]

    response = await api.ask("sts", inputs)

    assert response.json() == [[HALF, 0.0, 1.0, 1.0], [0.0] * 3]
    assert await api.total("loyal_batch_items_sum", model="bi") == 4
    assert await api.total("loyal_tokens_total", model="bi") == 16


async def test_the_same_text_is_read_once_for_a_model_that_reads_pairs_too(api: Api) -> None:
    response = await api.ask("sts", many("Ion", "Ion", "bun"), model="cross")

    assert response.json() == [0.2, 0.0]
    assert await api.total("loyal_batch_items_sum", model="cross") == 2


async def test_the_bound_of_a_request_counts_each_text_once(store: Path) -> None:
    """Untruncated, 3 + 3 + 4 tokens are 10; every pair by itself would make 13."""
    inputs, whole = many("Ion", "bun", "Ion la"), {"truncate": False}

    async with serving(store, max_request_tokens=10) as api:
        enough = await api.ask("sts", inputs, parameters=whole)
    async with serving(store, max_request_tokens=9) as api:
        short = await api.ask("sts", inputs, parameters=whole)

    assert enough.json() == [0.0, HALF]
    assert_problem(short, 422, "request_too_long", index=0)


@pytest.mark.parametrize("names", [("text", "text_pair"), ("text_pair", "text")])
async def test_either_text_may_be_cut_and_its_input_is_named(
    api: Api, names: tuple[str, str]
) -> None:
    long = dict(zip(names, ("la " * MAX_TOKENS, "la"), strict=True))

    response = await api.ask("sts", [pair("Ion", "Ion"), long])

    assert response.json() == [[1.0], [1.0]]
    assert response.headers["X-Truncated"] == "1"


async def test_long_text_is_refused_by_name_without_truncation(api: Api) -> None:
    """A text has two special tokens."""
    inputs = [many("Ion", "bun"), pair("Ion", "la " * MAX_TOKENS)]

    response = await api.ask("sts", inputs, parameters={"truncate": False})

    assert_problem(response, 422, "text_too_long", "16 tokens, at most 14", index=1)
    assert response.json()["errors"][0]["field"] == "inputs.text_pair"


async def test_text_that_breaks_the_model_is_named_by_the_first_input_that_has_it(
    api: Api,
) -> None:
    response = await api.ask("sts", [many("Ion", "Ion", "bun"), pair("Ion", CRASH)])

    assert_problem(response, 500, "inference_failed", index=1)


async def test_tensors_of_pairs_give_a_tensor_of_scores(api: Api) -> None:
    tensors = [
        {"name": name, "shape": [2], "datatype": "BYTES", "data": data}
        for name, data in [("text", ["Ion", "bun"]), ("text_pair", ["Ion", "Ion"])]
    ]

    response = await api.http.post("/v2/models/sts.bi/infer", json={"inputs": tensors})

    assert response.json()["outputs"] == [
        {"name": "score", "datatype": "FP32", "shape": [2], "data": [pytest.approx(1.0), 0.0]}
    ]


async def test_it_is_listed_like_any_model(api: Api) -> None:
    found = (await api.http.get("/v1/models/sts/bi")).json()

    assert (found["state"], found["labels"]) == ("ready", None)


async def test_live_loyalty_compares_it_with_a_teacher_that_reads_pairs(store: Path) -> None:
    """Scores 1 and 0.2."""
    async with serving(store, shadow_share=1.0) as api:
        await api.ask("sts", pair("Ion", "Ion"))
        await until(lambda: not api.service.registry.shadow._pending)

        assert await api.total("loyal_loyalty_regression_mae", model="bi") == pytest.approx(0.8)


async def test_auto_and_cascade_know_it_by_its_numbers(api: Api) -> None:
    auto = await api.ask("sts", pair("Ion", "bun"), {"X-SLO-Ms": "10000"}, model="auto")
    cascade = await api.ask("sts", pair("Ion", "bun"), model="cascade")

    assert auto.headers["X-Answered-By"] == "sts/cross:1"
    assert_problem(cascade, 422, "no_confidence")


def test_vectors_that_point_elsewhere_are_noticed_at_load(store: Path) -> None:
    package = Package.load(store / "sts/bi/1")

    def turned(arrays: Arrays) -> Outputs:
        rows = len(arrays["input_ids"])
        vector = [1.0] + [0.0] * (VECTORS.width - 1)
        return {"vector": [vector] * rows}  # type: ignore[dict-item]  # read as an array

    with pytest.raises(PackageError, match="golden example 0: "):
        replay(package, turned)
