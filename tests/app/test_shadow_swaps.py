"""Live loyalty while models come and go: no sample and no gauge outlives its models."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.repository import Role
from tests.app.harness import Api, serving, until
from tests.app.shadowing import (
    ALL,
    compared,
    drops,
    gauges,
    pending,
    samples,
    waiting_sample,
    with_a_teacher,
)
from tests.tiny_package import build, write_aliases

pytestmark = pytest.mark.anyio


@pytest.fixture
def pair(store: Path) -> Path:
    return with_a_teacher(store)


@pytest.fixture
async def api(pair: Path) -> AsyncIterator[Api]:
    async with serving(pair, **ALL) as running:
        yield running


async def test_unloaded_student_takes_its_samples_and_gauges_along(pair: Path) -> None:
    build(pair, model="other")
    async with serving(pair, **ALL) as api:
        await api.ner("Ion", model="other")
        await compared(api)
        before = await gauges(api, "other")
        async with waiting_sample(api, "other"):
            await api.service.repository.unload("ner", "other")

            assert pending(api) == 0
            assert before["label_ratio"] == 1
            assert await gauges(api, "other") == {}
            dropped = await api.total("loyal_shadow_dropped_total", model="other", reason="swapped")
            assert dropped == 1


async def test_unloaded_teacher_ends_the_comparison_and_is_freed(api: Api) -> None:
    freed = weakref.ref(api.service.registry.resolve("ner", "big").batcher)
    await api.ner("Ion")
    await compared(api)
    before = await gauges(api)
    async with waiting_sample(api):
        await api.service.repository.unload("ner", "big")

        assert pending(api) == 0
        assert await drops(api) == {"swapped": 1}
    await api.ner("Ion")

    assert before["label_ratio"] == 1
    assert await gauges(api) == {}
    assert freed() is None
    assert await drops(api) == {"swapped": 1, "unavailable": 1}


async def test_new_teacher_begins_a_new_window(pair: Path) -> None:
    build(pair, model="bigger")
    async with serving(pair, **ALL) as api:
        await api.ner("merge")
        await compared(api)
        before = await gauges(api)
        write_aliases(pair, default="tiny", teacher="bigger")
        await api.service.repository.reload_aliases("ner")
        await api.ner("merge")
        await compared(api)

        assert (before["label_ratio"], (await gauges(api))["label_ratio"]) == (0, 1)


async def test_sample_of_the_old_teacher_does_not_count_for_the_new_one(pair: Path) -> None:
    build(pair, model="bigger")
    async with serving(pair, **ALL) as api:
        async with waiting_sample(api):
            write_aliases(pair, default="tiny", teacher="bigger")
            await api.service.repository.reload_aliases("ner")
            student = api.service.registry.resolve("ner", "tiny")
            new = api.service.registry.resolve("ner", "teacher")
            [(sample, _)] = api.service.registry.shadow._pending.values()
            api.service.registry.shadow.start(sample, new)
        await compared(api)

        assert student.manifest.model == "tiny"
        assert await drops(api) == {"swapped": 1}
        assert await samples(api) == 1


async def test_no_request_fails_while_sampled_versions_are_swapped(pair: Path) -> None:
    build(pair, version=2)
    build(pair, model="big", version=2)
    write_aliases(pair, default="tiny:1", teacher="big:1")
    statuses: list[int] = []
    is_over = False

    async def ask(api: Api) -> None:
        while not is_over:
            statuses.append((await api.ner(["Ion merge"] * 3)).status_code)

    async with serving(pair, threads=2, **ALL) as api:
        clients = [asyncio.create_task(ask(api)) for _ in range(4)]
        await until(lambda: len(statuses) > 10)
        repository = api.service.repository
        await repository.load("ner", "tiny", version=2, role=Role(is_default=True))
        await repository.unload("ner", "tiny", version=1)
        await repository.unload("ner", "big", version=1)
        swapped = len(statuses)
        await until(lambda: len(statuses) > swapped + 10)
        is_over = True
        await asyncio.gather(*clients)
        await compared(api)

        versions = {
            dict(labels)["version"]
            for name, labels in await api.metrics()
            if name == "loyal_loyalty_label_ratio"
        }
    assert set(statuses) == {200}
    assert versions <= {"2"}
