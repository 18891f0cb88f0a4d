"""Store operations: what serves changes while requests are answered, and none of them fails."""

import asyncio
import json
import os
import weakref
from pathlib import Path

import httpx
import pytest

from app.batching import Batcher
from app.contract.manifest import ALIASES, GOLDEN, MODEL
from app.errors import RequestError, StoreConflict
from app.repository import Role
from tests.app.harness import Api, assert_problem, serving, starting, until
from tests.tiny_package import break_golden, build, edit_json, reseal, write_aliases

pytestmark = pytest.mark.anyio


async def answered_by(api: Api, model: str | None = None) -> str:
    response = await (api.ner("Ion") if model is None else api.ner("Ion", model=model))
    return response.headers["X-Model"] if response.status_code == 200 else response.json()["code"]


def states(api: Api) -> dict[str, str]:
    return {entry.name: entry.state for entry in api.service.registry}


def unanswered(batcher: weakref.ref[Batcher]) -> int:
    """Requests of one window each that wait or run."""
    alive = batcher()
    return alive.queued_items + alive.batches_in_flight if alive else 0


async def test_new_version_is_found_and_answers_once_it_is_loaded(store: Path) -> None:
    async with serving(store) as api:
        build(store, version=2)
        before = await answered_by(api)

        loaded = await api.service.repository.load("ner", "tiny")

        assert before == "ner/tiny:1"
        assert loaded.entry.name == "ner/tiny:2"
        assert await answered_by(api) == await answered_by(api, "tiny") == "ner/tiny:2"
        await until(lambda: states(api) == {"ner/tiny:1": "unloaded", "ner/tiny:2": "ready"})
        assert await answered_by(api, "tiny:1") == "model_unavailable"


async def test_new_version_that_fails_its_replay_never_takes_a_request(store: Path) -> None:
    async with serving(store) as api:
        break_golden(build(store, version=2))

        with pytest.raises(
            StoreConflict, match=r"golden example 0.*ner/tiny:1 answers on"
        ) as error:
            await api.service.repository.load("ner", "tiny")

        assert error.value.code == "load_failed"
        assert await answered_by(api) == await answered_by(api, "tiny") == "ner/tiny:1"
        assert await answered_by(api, "tiny:2") == "model_unavailable"
        assert (await api.http.get("/readyz")).status_code == 200
        reason = (await api.http.get("/v1/models/ner/tiny:2")).json()["reason"]
        assert "golden example 0" in reason


async def test_failed_version_serves_once_it_has_been_mended(store: Path) -> None:
    async with serving(store) as api:
        package = build(store, version=2)
        golden = (package / GOLDEN).read_bytes()
        break_golden(package)
        with pytest.raises(StoreConflict):
            await api.service.repository.load("ner", "tiny")

        (package / GOLDEN).write_bytes(golden)
        reseal(package)
        await api.service.repository.load("ner", "tiny")

        assert await answered_by(api) == "ner/tiny:2"


async def test_no_request_fails_while_versions_are_swapped(store: Path) -> None:
    """The default is pinned to version 1; clients ask on and on while version 2 takes over."""
    write_aliases(store, default="tiny:1")
    models: list[str] = []
    failures: list[httpx.Response] = []
    is_over = False

    async def ask(api: Api) -> None:
        while not is_over:
            response = await api.ner(["Ion merge la Iași"] * 3)
            if response.status_code != 200:
                failures.append(response)
                return
            models.append(response.headers["X-Model"])

    async with serving(store, threads=2) as api:
        repository = api.service.repository
        clients = [asyncio.create_task(ask(api)) for _ in range(8)]
        await until(lambda: len(models) > 20)
        build(store, version=2)
        await repository.load("ner", "tiny")
        await repository.load("ner", "tiny", version=2, role=Role(is_default=True))
        await repository.unload("ner", "tiny", version=1)
        switched = len(models)
        await until(lambda: len(models) > switched + 20)
        is_over = True
        await asyncio.gather(*clients)

    assert failures == []
    first_new = models.index("ner/tiny:2")
    assert set(models[:first_new]) == {"ner/tiny:1"}
    # Of the eight clients each may still hold an answer of the old version, and none gets another.
    assert set(models[first_new + 8 :]) == {"ner/tiny:2"}


async def test_unloaded_model_answers_what_it_has_accepted_and_is_freed(store: Path) -> None:
    build(store, model="other")
    async with serving(store) as api:
        freed = weakref.ref(api.service.registry.resolve("ner", "other").batcher)
        with api.workers_held():
            waiting = []
            for count in range(1, 6):
                waiting.append(asyncio.create_task(api.ner("Ion", model="other")))
                await until(lambda count=count: unanswered(freed) == count)
            unloading = asyncio.create_task(api.service.repository.unload("ner", "other"))
            await until(lambda: states(api)["ner/other:1"] == "unloaded")
            refused = await api.ner("Ion", model="other")
            assert not unloading.done()
        await unloading
        answers = await asyncio.gather(*waiting)

        assert_problem(refused, 503, "model_unavailable", "ner/other:1 is not loaded")
        assert [answer.status_code for answer in answers] == [200] * 5
        assert freed() is None
        assert await api.total("loyal_model_loaded", model="other") == 0
        queues = [labels for name, labels in await api.metrics() if name == "loyal_queue_items"]
        assert [dict(labels)["model"] for labels in queues] == ["tiny"]
        assert (await api.http.get("/readyz")).status_code == 200


async def test_unloaded_model_serves_again_after_a_load(store: Path) -> None:
    build(store, model="other")
    async with serving(store) as api:
        await api.service.repository.unload("ner", "other")

        await api.service.repository.load("ner", "other")

        assert await answered_by(api, "other") == "ner/other:1"


@pytest.mark.parametrize("name", ["tiny", "default"])
async def test_default_is_not_unloaded_when_nothing_can_take_its_place(
    store: Path, name: str
) -> None:
    async with serving(store) as api:
        with pytest.raises(StoreConflict, match="ner/tiny:1 is the default of ner") as error:
            await api.service.repository.unload("ner", name)

        assert error.value.code == "model_needed"
        assert await answered_by(api) == "ner/tiny:1"


async def test_default_is_unloaded_when_an_older_version_is_loaded(store: Path) -> None:
    build(store, version=2)
    async with serving(store) as api:
        await api.service.repository.load("ner", "tiny", version=1)
        newest = await answered_by(api)

        await api.service.repository.unload("ner", "tiny", version=2)

        assert newest == "ner/tiny:2"
        assert await answered_by(api) == "ner/tiny:1"


async def test_version_that_was_loaded_by_number_stays_when_newer_ones_come(store: Path) -> None:
    async with serving(store) as api:
        await api.service.repository.load("ner", "tiny", version=1)
        build(store, version=2)

        await api.service.repository.load("ner", "tiny")

        assert states(api) == {"ner/tiny:1": "ready", "ner/tiny:2": "ready"}
        assert await answered_by(api, "tiny:1") == "ner/tiny:1"


async def test_new_default_is_written_to_the_store_and_holds_after_a_restart(store: Path) -> None:
    build(store, model="other")
    async with serving(store) as api:
        loaded = await api.service.repository.load("ner", "other", role=Role(is_default=True))

        assert loaded.is_persistent is True
        assert await answered_by(api) == "ner/other:1"
    async with serving(store) as api:
        assert await answered_by(api) == "ner/other:1"
    assert [path.name for path in (store / "ner").iterdir() if path.name[0] == "."] == []


async def test_new_default_holds_in_memory_when_the_store_cannot_be_written(store: Path) -> None:
    build(store, model="other")
    async with serving(store) as api:
        before = (store / "ner" / ALIASES).read_bytes()
        # A folder in the file's place refuses even root.
        (store / "ner" / ALIASES).unlink()
        (store / "ner" / ALIASES).mkdir()

        loaded = await api.service.repository.load("ner", "other", role=Role(is_default=True))

        assert b"tiny" in before
        assert loaded.is_persistent is False
        assert await answered_by(api) == "ner/other:1"


async def test_canary_takes_its_share_and_ends_with_weight_0(store: Path) -> None:
    build(store, model="new")
    async with serving(store) as api:
        await api.service.repository.load("ner", "new", role=Role(canary_weight=1.0))
        during = await answered_by(api)
        await api.service.repository.load("ner", "new", role=Role(canary_weight=0.0))

        assert during == "ner/new:1"
        assert await answered_by(api) == "ner/tiny:1"
        assert json.loads((store / "ner" / ALIASES).read_bytes()) == {"default": "tiny"}


async def test_aliases_are_read_again_on_demand(store: Path) -> None:
    async with serving(store) as api:
        build(store, model="other")
        write_aliases(store, default="other", teacher="tiny")
        before = await answered_by(api)

        await api.service.repository.reload_aliases("ner")

        assert before == "ner/tiny:1"
        assert await answered_by(api) == "ner/other:1"
        assert await answered_by(api, "teacher") == "ner/tiny:1"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "aliases.json is not readable JSON.*the aliases of ner stay"),
        ('{"default": "gone"}', "no model 'gone'"),
        ('{"default": "tiny", "teacher": "tiny:7"}', "no version '7'"),
    ],
)
async def test_unusable_aliases_change_nothing(store: Path, content: str, reason: str) -> None:
    async with serving(store) as api:
        (store / "ner" / ALIASES).write_text(content)

        with pytest.raises(StoreConflict, match=reason) as error:
            await api.service.repository.reload_aliases("ner")

        assert error.value.code == "aliases_unusable"
        assert await answered_by(api) == "ner/tiny:1"


async def test_aliases_that_name_a_faulty_model_change_nothing(store: Path) -> None:
    async with serving(store) as api:
        (build(store, model="faulty") / MODEL).write_bytes(b"")
        write_aliases(store, default="faulty")

        with pytest.raises(StoreConflict, match="ner/faulty:1 cannot serve"):
            await api.service.repository.reload_aliases("ner")

        assert await answered_by(api) == "ner/tiny:1"


@pytest.mark.parametrize("name", ["gone", "../ner/tiny", ""])
async def test_only_names_of_models_in_the_store_are_loaded(store: Path, name: str) -> None:
    async with serving(store) as api:
        with pytest.raises(RequestError) as error:
            await api.service.repository.load("ner", name)

        assert error.value.code == "unknown_model"


async def test_version_that_left_the_store_is_forgotten_once_it_does_not_serve(
    store: Path,
) -> None:
    async with serving(store) as api:
        faulty = build(store, version=2)
        break_golden(faulty)
        with pytest.raises(StoreConflict):
            await api.service.repository.load("ner", "tiny")
        os.rename(faulty, store / "ner" / "tiny" / ".removed")

        await api.service.repository.load("ner", "tiny")

        assert states(api) == {"ner/tiny:1": "ready"}
        assert await answered_by(api) == "ner/tiny:1"


async def test_only_what_is_meant_loads_at_start(store: Path) -> None:
    build(store, version=2)
    build(store, version=3)
    write_aliases(store, default="tiny:1")

    async with serving(store) as api:
        assert states(api) == {
            "ner/tiny:1": "ready",
            "ner/tiny:2": "unloaded",
            "ner/tiny:3": "ready",
        }


async def test_model_loads_once_for_all_who_wait_for_it_on_demand(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    build(store, model="other")
    async with serving(store, load="on_demand") as api:
        before = states(api)
        ready = await api.http.get("/readyz")

        answers = await asyncio.gather(*(api.ner("Ion", model="other") for _ in range(8)))

    loaded = [vars(r)["model"] for r in caplog.records if r.getMessage() == "model_ready"]
    assert before == {"ner/other:1": "unloaded", "ner/tiny:1": "ready"}
    assert ready.status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 8
    assert loaded == ["ner/tiny:1", "ner/other:1"]


async def test_request_for_a_loading_default_waits_on_demand(store: Path) -> None:
    async with starting(store, load="on_demand") as api:
        assert await answered_by(api) == "ner/tiny:1"


async def test_load_on_demand_ends_though_who_asked_for_it_gave_up(store: Path) -> None:
    build(store, model="other")
    async with serving(store, load="on_demand") as api:
        request = asyncio.create_task(api.service.registry.obtain("ner", "other"))
        await asyncio.sleep(0)
        request.cancel()
        during = states(api)["ner/other:1"]

        assert during == "loading"
        await until(lambda: states(api)["ner/other:1"] == "ready")


async def test_faulty_model_on_demand_is_503_with_its_reason(store: Path) -> None:
    edit_json(build(store, model="faulty") / "manifest.json", parameters=7)
    (store / "ner/faulty/1" / MODEL).write_bytes(b"")
    async with serving(store, load="on_demand") as api:
        first = await api.ner("Ion", model="faulty")
        second = await api.ner("Ion", model="faulty")

    assert_problem(first, 503, "model_unavailable", "sha256")
    assert_problem(second, 503, "model_unavailable", "sha256")


async def test_operator_s_unload_holds_on_demand(store: Path) -> None:
    build(store, model="other")
    async with serving(store, load="on_demand") as api:
        await answered_by(api, "other")
        await api.service.repository.unload("ner", "other")

        assert await answered_by(api, "other") == "model_unavailable"


async def test_superseded_version_loads_again_at_a_request_on_demand(store: Path) -> None:
    async with serving(store, load="on_demand") as api:
        build(store, version=2)
        await api.service.repository.load("ner", "tiny")
        await until(lambda: states(api)["ner/tiny:1"] == "unloaded")

        assert await answered_by(api, "tiny:1") == "ner/tiny:1"
