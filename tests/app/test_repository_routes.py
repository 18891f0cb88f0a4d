"""Store operations over HTTP, as the protocol's repository extension has them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.app.harness import AS_ADMIN, Api, admin_settings, serving
from tests.app.tensors import assert_error
from tests.tiny_package import build

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(store: Path, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(store, **admin_settings(tmp_path)) as running:
        running.http.headers.update(AS_ADMIN)
        yield running


async def test_load_sets_default_and_canary(api: Api, store: Path) -> None:
    build(store, model="other")
    path = "/v2/repository/models/ner.other/load"

    default = await api.http.post(path, json={"parameters": {"default": True, "version": 1}})
    canary = await api.http.post(path, json={"parameters": {"canary_weight": 0.1}})
    aliases = json.loads((store / "ner/aliases.json").read_bytes())

    assert default.json() == {
        "name": "ner.other",
        "version": "1",
        "aliases": {"default": "other:1"},
        "aliases_written": True,
    }
    assert canary.json()["aliases"] == aliases
    assert aliases == {"default": "other:1", "canary": {"model": "other", "weight": 0.1}}
    assert (await api.ner("Ion")).headers["X-Model"] == "ner/other:1"


async def test_load_of_a_task_reads_its_aliases_again(api: Api, store: Path) -> None:
    build(store, model="other")
    (store / "ner/aliases.json").write_text('{"default": "other"}')
    reloaded = await api.http.post("/v2/repository/models/ner/load")
    (store / "ner/aliases.json").write_text("{")
    refused = await api.http.post("/v2/repository/models/ner/load", json={})

    assert reloaded.json()["aliases"] == {"default": "other"}
    assert_error(refused, 409, "aliases.json is not readable JSON")
    assert (await api.ner("Ion")).headers["X-Model"] == "ner/other:1"


@pytest.mark.parametrize(
    ("path", "body", "status", "mentioned"),
    [
        ("models/ner.tiny/load", {"parameters": {"config": "{}"}}, 422, "'config'"),
        ("models/ner.tiny/load", {"parameters": {"canary_weight": 2}}, 422, "canary_weight"),
        ("models/ner.tiny/load", {"parameters": {"version": 7}}, 404, "known are 1"),
        ("models/ner/load", {"parameters": {"default": True}}, 422, "<task>.<model>"),
        ("models/ner.gone/load", {}, 404, "'gone'"),
        ("models/qa.tiny/load", {}, 404, "known are ner"),
        ("models/qa/load", {}, 404, "known are ner"),
        ("models/ner.tiny/unload", {}, 409, "is the default of ner"),
        ("models/ner/unload", {}, 409, "is the default of ner"),
        ("models/ner.gone/unload", {}, 404, "'gone'"),
        ("index", {"ready": "yes"}, 422, "ready"),
    ],
)
async def test_wrong_store_operation_is_refused_with_the_reason(
    api: Api, path: str, body: object, status: int, mentioned: str
) -> None:
    response = await api.http.post(f"/v2/repository/{path}", json=body)

    assert_error(response, status, mentioned)


async def test_index_can_be_cut_to_what_is_ready(api: Api, store: Path) -> None:
    build(store, version=2)
    await api.http.post("/v2/repository/models/ner.tiny/load", json={"parameters": {"version": 1}})
    await api.http.post("/v2/repository/models/ner.tiny/load")
    await api.http.post(
        "/v2/repository/models/ner.tiny/unload", json={"parameters": {"version": 1}}
    )

    everything = (await api.http.post("/v2/repository/index")).json()
    ready = (await api.http.post("/v2/repository/index", json={"ready": True})).json()

    assert [entry["state"] for entry in everything] == ["UNAVAILABLE", "READY"]
    assert ready == everything[1:]
