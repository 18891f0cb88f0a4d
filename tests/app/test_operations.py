"""Probes, metrics, catalog, OpenAPI, page."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.batching import STUCK_S
from app.errors import CODES, V2_CODES
from app.schemas import Health, ModelInfo, Problem, TaskInfo, TaskList
from app.tasks.ner import NER
from tests.app.harness import Api, serving, until
from tests.tiny_graphs import CRASH
from tests.tiny_package import MAX_TOKENS, STRIDE, build, write_aliases

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(store: Path) -> AsyncIterator[Api]:
    build(store, model="teacher-tiny")
    write_aliases(store, default="tiny", teacher="teacher-tiny")
    async with serving(store) as running:
        yield running


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
async def test_probes_are_ok_when_models_are_loaded(api: Api, path: str) -> None:
    response = await api.http.get(path)

    report = Health.model_validate_json(response.content)
    assert (response.status_code, report.status) == (200, "ok")
    assert [model.state for model in report.models] == ["ready", "ready"]


async def test_dead_scheduler_of_a_default_model_is_seen_at_once(api: Api) -> None:
    batcher = api.service.registry.resolve("ner", None).batcher
    batcher.limits = replace(batcher.limits, max_batch_items=None)  # forming a batch now fails
    held = await api.ner(["Ion", "Maria"])

    ready = await api.http.get("/readyz")
    alive = await api.http.get("/livez")
    answer = await api.ner("Ion")

    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert "scheduler died" in ready.json()["reasons"][0]
    assert alive.status_code == 503
    assert (held.status_code, held.json()["code"]) == (503, "model_unavailable")
    assert (answer.status_code, answer.json()["code"]) == (503, "model_unavailable")


async def test_batch_that_never_ends_fails_liveness(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api.workers_held():
        request = asyncio.create_task(api.ner("Ion"))
        batcher = api.service.registry.resolve("ner", None).batcher
        await until(lambda: batcher.queued_items == 1)
        before = await api.http.get("/livez")

        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + STUCK_S + 1)
        after = await api.http.get("/livez")
        monkeypatch.undo()
    await request

    assert (before.status_code, after.status_code) == (200, 503)
    assert "hangs" in after.json()["reasons"][0]


async def test_draining_is_not_ready_but_alive_and_serving(api: Api) -> None:
    api.service.probes.is_draining = True

    ready = await api.http.get("/readyz")
    alive = await api.http.get("/livez")
    answer = await api.ner("Ion")

    assert (ready.status_code, ready.json()["status"]) == (503, "draining")
    assert alive.status_code == 200
    assert answer.status_code == 200
    assert answer.headers["Connection"] == "close"


async def test_requests_add_up_over_their_codes(api: Api) -> None:
    sent = 0
    for inputs in ("Ion", "", CRASH, ["Ion", "Maria"], 5):
        await api.ner(inputs)
        sent += 1
    await api.ner("Ion", model="teacher")
    await api.ner("Ion", model="nobody")
    await api.http.post("/v1/translation", json={})
    sent += 3

    total = await api.total("loyal_requests_total")
    by_code = {
        code: await api.total("loyal_requests_total", code=code)
        for code in ("200", "404", "422", "500")
    }

    assert total == sent
    assert by_code == {"200": 3, "404": 2, "422": 2, "500": 1}
    assert await api.total("loyal_request_duration_seconds_count") == sent
    assert await api.total("loyal_requests_in_progress") == 0
    assert await api.total("loyal_requests_total", model="teacher-tiny", version="1") == 1


async def test_metric_labels_never_come_from_the_caller(api: Api) -> None:
    await api.http.post("/v1/secret", json={})
    await api.ner("secret", model="secret", headers={"X-Request-Id": "secret"})

    assert "secret" not in (await api.http.get("/metrics")).text


async def test_too_long_text_is_counted_as_rejected(api: Api) -> None:
    await api.ner("a" * 20_001)

    assert await api.total("loyal_rejected_total", reason="too_long") == 1


async def test_every_request_has_one_access_line_without_its_text(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "app.telemetry")

    await api.ner(["Ion Zamfirescu", "Maria"], headers={"X-Request-Id": "order-66"})

    [line] = [vars(record) for record in caplog.records if record.getMessage() == "request"]
    expected = {
        "request_id": "order-66",
        "method": "POST",
        "route": "/v1/ner",
        "status": 200,
        "model": "ner/tiny:1",
        "inputs": 2,
    }
    assert expected.items() <= line.items()
    assert line["tokens"] == 2 + 1 + 2 + 2  # two names and one, each text in [CLS] and [SEP]
    assert "Zamfirescu" not in str(line)


async def test_catalog_lists_models_with_labels_limits_and_state(api: Api) -> None:
    models = TaskList.model_validate_json((await api.http.get("/v1/models")).content)
    task = TaskInfo.model_validate_json((await api.http.get("/v1/models/ner")).content)
    model = ModelInfo.model_validate_json((await api.http.get("/v1/models/ner/default")).content)

    assert models.tasks == [task]
    assert model in task.models
    assert (model.name, model.state, model.aliases) == ("ner/tiny:1", "ready", ["default"])
    assert model.labels == ["PERSON", "GPE"]
    assert model.size_bytes is not None
    assert model.size_bytes > 1000
    assert model.limits is not None
    assert model.limits.max_tokens_per_window == MAX_TOKENS
    assert model.limits.stride == STRIDE
    assert model.limits.max_texts_per_request == 32


async def test_openapi_reply_examples_fit_their_schemas(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    responses = document["paths"]["/v1/ner"]["post"]["responses"]

    for example in responses.pop("200")["content"]["application/json"]["examples"].values():
        NER.reply.validate_json(json.dumps(example["value"]))
    documented = set()
    for status, response in responses.items():
        for example in response["content"]["application/problem+json"]["examples"].values():
            problem = Problem.model_validate_json(json.dumps(example["value"]))
            documented.add(problem.code)
            assert problem.status == int(status)
    unshown = {"client_closed", "unauthorized", "forbidden"}
    assert documented == CODES.keys() - V2_CODES - unshown


async def test_openapi_has_every_schema_it_refers_to(api: Api) -> None:
    text = (await api.http.get("/openapi.json")).text
    schemas = json.loads(text)["components"]["schemas"]

    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert references <= schemas.keys()
    assert "HTTPValidationError" not in references


async def test_page_needs_nothing_from_elsewhere(api: Api) -> None:
    response = await api.http.get("/")

    assert response.headers["Content-Type"].startswith("text/html")
    assert "//" not in response.text.replace("  // offsets", "")
    assert (await api.http.get("/docs")).status_code == 200
