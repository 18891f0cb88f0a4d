"""`"model": "auto"`: who answers under which time limit.

Latencies are planted in units of 100 seconds, so that how fast this machine is decides nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.auto import UNKNOWN_LOYALTY, Choice, choose
from app.contract.heads import SpanHead
from app.contract.manifest import MANIFEST, MODEL
from app.latency import MIN_REQUESTS
from app.loading import ServedModel
from tests.app.harness import Api, assert_problem, serving, starting, until
from tests.app.tensors import tensor
from tests.tiny_package import HEADS, build, edit_json, write_aliases

pytestmark = pytest.mark.anyio

LONGEST_MS = 600_000


def add(store: Path, model: str, *, version: int = 1, label_loyalty: float | None = None) -> Path:
    """A model with this loyalty in its manifest."""
    package = store / "ner" / model / str(version)
    if not package.exists():
        build(store, model=model, version=version)
    if label_loyalty is not None:
        score = {"value": label_loyalty, "low": 0.0, "high": 1.0, "n": 100}
        edit_json(package / MANIFEST, loyalty={"label_loyalty": score})
    return package


@pytest.fixture
def models(store: Path) -> Path:
    """The store with a loyal default, a less loyal model, one of unknown loyalty and a teacher."""
    add(store, "tiny", label_loyalty=0.9)
    add(store, "fast", label_loyalty=0.5)
    add(store, "unknown")
    add(store, "big")
    write_aliases(store, default="tiny", teacher="big")
    return store


@pytest.fixture
async def api(models: Path) -> AsyncIterator[Api]:
    async with serving(models, request_timeout_ms=LONGEST_MS) as running:
        yield running


def served(api: Api, name: str) -> ServedModel:
    return api.service.registry.resolve("ner", name)


def plant(api: Api, **p95_s: float) -> None:
    """Let models have had traffic with these latencies."""
    for name, seconds in p95_s.items():
        for _ in range(MIN_REQUESTS):
            served(api, name).latency.observe(seconds)


async def ask(api: Api, slo_ms: int = LONGEST_MS) -> httpx.Response:
    return await api.ner("Ion", headers={"X-SLO-Ms": str(slo_ms)}, model="auto")


async def answered_by(api: Api, slo_ms: int = LONGEST_MS) -> str:
    response = await ask(api, slo_ms)
    assert response.headers["X-Answered-By"] == response.headers["X-Model"]
    return response.headers["X-Answered-By"]


@pytest.mark.parametrize(
    ("left_s", "chosen"),
    [(9.0, "teacher"), (3.0, "teacher"), (2.9, "student"), (1.0, "student"), (0.9, "fast")],
)
def test_most_loyal_choice_within_the_time_is_taken_else_the_fastest(
    left_s: float, chosen: str
) -> None:
    choices = [
        Choice("fast", UNKNOWN_LOYALTY, 0.95),
        Choice("student", 0.9, 1.0),
        Choice("teacher", 1.0, 3.0),
    ]

    assert choose(choices, left_s).model == chosen


def test_faster_of_equally_loyal_choices_is_taken() -> None:
    choices = [Choice("slow", 0.9, 2.0), Choice("fast", 0.9, 1.0)]

    assert choose(choices, 3.0).model == "fast"


@pytest.mark.parametrize(
    ("slo_ms", "answered"),
    [
        (500_000, "ner/big:1"),
        (350_000, "ner/tiny:1"),
        (250_000, "ner/fast:1"),
        (150_000, "ner/unknown:1"),
        (50_000, "ner/unknown:1"),
    ],
    ids=["teacher first", "then by loyalty", "less loyal", "unknown last", "none fits: fastest"],
)
async def test_latency_of_live_traffic_decides_who_can_answer(
    api: Api, slo_ms: int, answered: str
) -> None:
    plant(api, big=400, tiny=300, fast=200, unknown=100)

    assert await answered_by(api, slo_ms) == answered


@pytest.mark.parametrize("other", ["languages", "labels"])
async def test_model_of_another_language_or_with_other_labels_is_never_chosen(
    store: Path, other: str
) -> None:
    more = (*HEADS["ner"].labels, "B-GENE", "I-GENE")
    package = build(store, model="other", head=SpanHead(labels=more) if other == "labels" else None)
    if other == "languages":
        edit_json(package / MANIFEST, languages=["en"])
    score = {"value": 0.99, "low": 0.0, "high": 1.0, "n": 100}
    edit_json(package / MANIFEST, loyalty={"label_loyalty": score})
    async with serving(store, request_timeout_ms=LONGEST_MS) as api:
        assert served(api, "other").manifest.loyalty
        assert await answered_by(api) == "ner/tiny:1"


async def test_without_traffic_the_measured_speed_decides(api: Api) -> None:
    before = await answered_by(api)
    served(api, "big").batcher.learn_speed(1, 10**7)

    assert (before, await answered_by(api)) == ("ner/big:1", "ner/tiny:1")


async def test_deadline_is_a_limit_too(api: Api) -> None:
    plant(api, big=400)
    headers = {"X-SLO-Ms": str(LONGEST_MS), "X-Request-Timeout-Ms": "300000"}

    response = await api.ner("Ion", headers=headers, model="auto")

    assert response.headers["X-Answered-By"] == "ner/tiny:1"


async def test_model_with_a_full_queue_is_passed_over(models: Path) -> None:
    async with serving(models, max_queue_items=1) as api:
        with api.workers_held():
            waiting = asyncio.create_task(api.ner("Ion", model="big"))
            await until(lambda: served(api, "big").batcher.queued_items == 1)
            asked = asyncio.create_task(ask(api))
            await until(lambda: served(api, "tiny").batcher.queued_items == 1)
        answers = await asyncio.gather(waiting, asked)

    assert [answer.headers["X-Model"] for answer in answers] == ["ner/big:1", "ner/tiny:1"]


async def test_older_version_and_canary_are_never_chosen(store: Path) -> None:
    add(store, "tiny", label_loyalty=0.9)
    add(store, "tiny", version=2, label_loyalty=0.1)
    add(store, "new", label_loyalty=0.8)
    write_aliases(store, default="tiny", canary={"model": "new", "weight": 0.0})

    async with serving(store) as api:
        await api.service.repository.load("ner", "tiny", version=1)
        assert {entry.state for entry in api.service.registry} == {"ready"}
        assert await answered_by(api) == "ner/tiny:2"


async def test_alias_that_names_a_version_keeps_its_model_at_it(store: Path) -> None:
    add(store, "tiny", version=2, label_loyalty=0.9)
    write_aliases(store, default="tiny:1")

    async with serving(store) as api:
        assert await answered_by(api) == "ner/tiny:1"


async def test_fp32_sibling_may_be_chosen(store: Path) -> None:
    add(store, "tiny", label_loyalty=0.9)
    add(store, "tiny-fp32", label_loyalty=0.99)

    async with serving(store) as api:
        assert await answered_by(api) == "ner/tiny-fp32:1"


async def test_model_out_of_service_is_passed_over(models: Path) -> None:
    graph = models / "ner/big/1" / MODEL
    graph.write_bytes(graph.read_bytes() + b"\0")

    async with serving(models) as api:
        assert await answered_by(api) == "ner/tiny:1"


async def test_default_loads_where_models_load_on_demand(models: Path) -> None:
    async with starting(models, load="on_demand") as api:
        assert await answered_by(api) == "ner/tiny:1"


async def test_nothing_ready_is_503_as_for_the_default(models: Path) -> None:
    async with starting(models) as api:
        assert_problem(await ask(api), 503, "model_loading", "ner/tiny:1")


@pytest.mark.parametrize("headers", [{}, {"X-SLO-Ms": "0"}, {"X-SLO-Ms": "1.5"}])
async def test_auto_without_a_time_limit_is_422_and_names_the_header(
    api: Api, headers: dict[str, str]
) -> None:
    response = await api.ner("Ion", headers=headers, model="auto")

    assert_problem(response, 422, "invalid_header", "X-SLO-Ms")
    assert response.json()["errors"][0]["field"] == "X-SLO-Ms"


async def test_time_limit_means_nothing_to_a_named_model(api: Api) -> None:
    response = await api.ner("Ion", headers={"X-SLO-Ms": "1"}, model="big")

    assert response.headers["X-Model"] == "ner/big:1"
    assert "X-Answered-By" not in response.headers
    assert "X-SLO-Met" not in response.headers


async def test_answer_within_the_time_is_counted_as_such(api: Api) -> None:
    response = await ask(api)

    assert response.headers["X-SLO-Met"] == "true"
    assert await api.total("loyal_auto_requests_total", model="big", slo="met") == 1
    assert await api.total("loyal_auto_requests_total", slo="missed") == 0


async def test_late_answer_says_so_and_is_counted(api: Api) -> None:
    plant(api, big=400, tiny=300, fast=200, unknown=100)
    with api.workers_held():
        asked = asyncio.create_task(ask(api, slo_ms=1))
        await until(lambda: served(api, "unknown").batcher.queued_items == 1)
        late_s = time.monotonic() + 0.001
        await until(lambda: time.monotonic() > late_s)
    response = await asked

    assert response.status_code == 200
    assert response.headers["X-SLO-Met"] == "false"
    assert await api.total("loyal_auto_requests_total", model="unknown", slo="missed") == 1


async def test_answers_are_observed(api: Api) -> None:
    for _ in range(MIN_REQUESTS):
        await api.ner("Ion", model="fast")

    assert served(api, "fast").latency.p95_s is not None
    assert served(api, "big").latency.p95_s is None


async def test_auto_answers_the_open_inference_protocol(api: Api) -> None:
    body = {"inputs": [tensor(shape=[1], data=["Ion"])]}

    response = await api.http.post(
        "/v2/models/ner.auto/infer", json=body, headers={"X-SLO-Ms": str(LONGEST_MS)}
    )

    assert response.json()["model_name"] == "ner.big"
    assert response.headers["X-Answered-By"] == "ner/big:1"


async def test_auto_is_described_as_the_default_under_the_protocol(api: Api) -> None:
    described = await api.http.get("/v2/models/ner.auto")
    ready = await api.http.get("/v2/models/ner.auto/ready")
    versioned = await api.http.get("/v2/models/ner.auto/versions/1")

    assert described.json()["name"] == "ner.tiny"
    assert (ready.status_code, ready.json()) == (200, {"name": "ner.auto", "ready": True})
    assert versioned.status_code == 404


@pytest.mark.parametrize("name", ["auto", "cascade"])
async def test_model_of_a_reserved_name_is_out_of_service(store: Path, name: str) -> None:
    package = build(store, model="plain").rename(store / "ner/plain/2")
    edit_json(package / MANIFEST, model=name, version=1)
    (store / "ner" / name).mkdir()
    package.rename(store / "ner" / name / "1")

    async with serving(store) as api:
        states = {entry.name: (entry.state, entry.reason) for entry in api.service.registry}

    state, reason = states[f"ner/{name}:1"]
    assert state == "failed"
    assert f"{name!r} is reserved" in str(reason)


@pytest.mark.parametrize(
    "aliases",
    [
        {"auto": "tiny", "default": "tiny"},
        {"default": "cascade:1"},
        {"default": "tiny", "teacher": "auto"},
        {"default": "tiny", "canary": {"model": "cascade", "weight": 0.5}},
    ],
    ids=["alias", "default", "teacher", "canary"],
)
async def test_aliases_with_a_reserved_name_are_refused(
    store: Path, aliases: dict[str, object]
) -> None:
    write_aliases(store, **aliases)

    async with serving(store) as api:
        response = await api.ner("Ion")

    assert_problem(response, 503, "model_unavailable", "is reserved for requests")
