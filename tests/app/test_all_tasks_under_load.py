"""What every task keeps to when requests meet: in a batch, in a queue, at a swap, in metrics."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from app.batching import Batcher
from app.errors import StoreConflict
from app.tasks import TASKS
from tests.app.harness import Api, assert_problem, post_and_leave, serving, until
from tests.app.task_inputs import TEXTS, close_to, given
from tests.tiny_graphs import CRASH, INFINITE
from tests.tiny_package import break_golden, build, write_aliases

pytestmark = pytest.mark.anyio

MAX_QUEUE_ITEMS = 4


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def api(task: str, only: Callable[..., Path]) -> AsyncIterator[Api]:
    async with serving(only(task), max_queue_items=MAX_QUEUE_ITEMS) as running:
        yield running


def batcher_of(api: Api, task: str) -> Batcher:
    return api.service.registry.resolve(task, None).batcher


async def ask_together(api: Api, task: str, *requests: list[object]) -> list[httpx.Response]:
    """Send requests of one window an input so that they wait together."""
    with api.workers_held():
        calls = [asyncio.create_task(api.ask(task, inputs)) for inputs in requests]
        await until(lambda: batcher_of(api, task).queued_items == sum(map(len, requests)))
    return await asyncio.gather(*calls)


async def test_requests_that_share_a_batch_are_answered_as_alone(api: Api, task: str) -> None:
    """They are of different lengths, so that all but one are padded."""
    inputs = [given(task, text) for text in TEXTS[:MAX_QUEUE_ITEMS]]
    alone = [(await api.ask(task, [one])).json() for one in inputs]
    batches = await api.total("loyal_batch_items_count")

    responses = await ask_together(api, task, *([one] for one in inputs))

    assert [response.json() for response in responses] == close_to(alone)
    assert await api.total("loyal_batch_items_count") == batches + 1
    assert await api.total("loyal_tokens_total", kind="padding") > 0


@pytest.mark.parametrize("poison", [CRASH, INFINITE])
async def test_poison_fails_alone_in_a_batch_of_several_requests(
    api: Api, task: str, poison: str
) -> None:
    sound = given(task, "Maria merge la Iași")
    alone = (await api.ask(task, [sound])).json()
    batches = await api.total("loyal_batch_items_count")

    before, poisoned, after = await ask_together(
        api, task, [sound], [sound, given(task, f"Ion {poison}")], [sound]
    )

    assert_problem(poisoned, 500, "inference_failed", index=1)
    assert [before.json(), after.json()] == close_to([alone, alone])
    assert await api.total("loyal_batch_items_count") == batches + 1


async def test_full_queue_refuses_and_keeps_what_it_has_accepted(api: Api, task: str) -> None:
    inputs = [given(task, "Ion")] * MAX_QUEUE_ITEMS
    with api.workers_held():
        accepted = asyncio.create_task(api.ask(task, inputs))
        await until(lambda: batcher_of(api, task).queued_items == MAX_QUEUE_ITEMS)

        refused = await api.ask(task, inputs[0])

    assert_problem(refused, 429, "queue_full")
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert (await accepted).status_code == 200
    assert (await api.ask(task, inputs[0])).status_code == 200


async def test_deadline_that_passes_is_504_and_frees_the_place(api: Api, task: str) -> None:
    with api.workers_held():
        late = await api.ask(task, given(task, "Ion"), headers={"X-Request-Timeout-Ms": "30"})
        await until(lambda: batcher_of(api, task).queued_items == 0)

    assert_problem(late, 504, "deadline_exceeded", "30 ms")
    assert (await api.ask(task, given(task, "Ion"))).status_code == 200


async def test_client_that_leaves_frees_its_place(api: Api, task: str) -> None:
    left = asyncio.Event()
    with api.workers_held():
        request = asyncio.create_task(post_and_leave(api, task, given(task, "Ion"), left))
        await until(lambda: batcher_of(api, task).queued_items == 1)

        left.set()
        await request

        await until(lambda: batcher_of(api, task).queued_items == 0)
    assert await api.total("loyal_requests_total", task=task, code="499") == 1


async def test_metrics_add_up(api: Api, task: str, caplog: pytest.LogCaptureFixture) -> None:
    """Requests by code are those that were sent; tokens are those of batches and access lines."""
    caplog.set_level("INFO", "app.telemetry")
    texts = ["Maria merge la Iași", "", "Ion", f"Ion {CRASH}", "bun și rău", 5]

    sent = [(await api.ask(task, given(task, text))).status_code for text in texts]
    padded = await ask_together(api, task, *([given(task, text)] for text in TEXTS[:3]))
    sent += [response.status_code for response in padded]

    by_code = {
        code: await api.total("loyal_requests_total", task=task, code=str(code))
        for code in (200, 422, 500)
    }
    useful, padding = [
        await api.total("loyal_tokens_total", task=task, kind=kind)
        for kind in ("useful", "padding")
    ]
    answered = sum(getattr(record, "tokens", 0) for record in caplog.records)
    failed = useful - answered
    assert by_code == Counter(sent) == {200: 6, 422: 2, 500: 1}
    assert await api.total("loyal_requests_total") == len(sent)
    assert await api.total("loyal_request_duration_seconds_count", task=task) == len(sent)
    assert await api.total("loyal_batch_padded_tokens_sum", task=task) == useful + padding
    assert await api.total("loyal_batch_items_sum", task=task) == by_code[200] + by_code[500]
    assert 0 < failed < answered


async def test_no_request_fails_while_a_faulty_version_is_refused_and_a_sound_one_takes_over(
    task: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    build(store, task=task)
    write_aliases(store, task=task, default="tiny")
    models: list[str] = []
    failures: list[httpx.Response] = []
    is_over = False

    async def ask(api: Api) -> None:
        while not is_over:
            response = await api.ask(task, given(task, "Ion merge la Iași"))
            if response.status_code != 200:
                failures.append(response)
                return
            models.append(response.headers["X-Model"])

    async with serving(store) as api:
        clients = [asyncio.create_task(ask(api)) for _ in range(4)]
        await until(lambda: len(models) > 10)
        break_golden(build(store, task=task, version=2))
        with pytest.raises(StoreConflict, match=f"{task}/tiny:1 answers on"):
            await api.service.repository.load(task, "tiny")
        build(store, task=task, version=3)
        await api.service.repository.load(task, "tiny")
        switched = len(models)
        await until(lambda: len(models) > switched + 10)
        is_over = True
        await asyncio.gather(*clients)

    assert failures == []
    assert set(models) == {f"{task}/tiny:1", f"{task}/tiny:3"}
    assert models[-1] == f"{task}/tiny:3"
