"""What happens when answers take too long or nobody waits for them any more."""

import asyncio
from pathlib import Path

import pytest

from app.batching import Batcher
from tests.app.harness import Api, assert_problem, post_and_leave, serving, until

pytestmark = pytest.mark.anyio


def batcher_of(api: Api) -> Batcher:
    return api.service.registry.resolve("ner", None).batcher


async def test_deadline_passed_is_504_and_leaves_the_queue(store: Path) -> None:
    async with serving(store, request_timeout_ms=60) as api:
        with api.workers_held():
            response = await api.ner("Maria")
            await until(lambda: batcher_of(api).queued_items == 0)

    assert_problem(response, 504, "deadline_exceeded", "60 ms")


async def test_client_may_shorten_the_deadline_and_the_next_request_is_served(store: Path) -> None:
    async with serving(store) as api:
        with api.workers_held():
            response = await api.ner("Maria", headers={"X-Request-Timeout-Ms": "30"})
        following = await api.ner("Maria")

    assert_problem(response, 504, "deadline_exceeded", "30 ms")
    assert following.status_code == 200


async def test_client_may_not_lengthen_the_deadline(store: Path) -> None:
    async with serving(store, request_timeout_ms=60) as api:
        with api.workers_held():
            response = await api.ner("Maria", headers={"X-Request-Timeout-Ms": "999999"})

    assert_problem(response, 504, "deadline_exceeded", "60 ms")


async def test_body_that_never_ends_meets_the_deadline(store: Path) -> None:
    async def body() -> object:
        yield b"{"
        await asyncio.Event().wait()

    async with serving(store, request_timeout_ms=60) as api:
        headers = {"Content-Type": "application/json"}
        response = await api.http.post("/v1/ner", content=body(), headers=headers)

    assert_problem(response, 504, "deadline_exceeded")


async def test_full_queue_is_429_with_retry_after_and_serves_on_afterwards(store: Path) -> None:
    async with serving(store, max_queue_items=2) as api:
        with api.workers_held():
            waiting = asyncio.create_task(api.ner(["Ion", "Maria"]))
            await until(lambda: batcher_of(api).queued_items == 2)

            refused = await api.ner("Maria")

        answer = await waiting
        assert_problem(refused, 429, "queue_full", "Retry-After")
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert answer.status_code == 200
        assert (await api.ner("Maria")).status_code == 200


async def test_request_that_shutdown_cuts_off_is_503_with_retry_after(store: Path) -> None:
    async with serving(store) as api:
        with api.workers_held():
            cut_off = asyncio.create_task(api.ner("Maria"))
            await until(lambda: batcher_of(api).queued_items == 1)

            api.service.registry.stop()
            response = await cut_off

    assert_problem(response, 503, "draining", "shutting down")
    assert int(response.headers["Retry-After"]) > 0


async def test_request_that_waits_behind_too_much_for_its_deadline_is_504_at_once(
    store: Path,
) -> None:
    async with serving(store) as api:
        with api.workers_held():
            waiting = asyncio.create_task(api.ner(["Ion"] * 20))
            await until(lambda: batcher_of(api).queued_items == 20)
            # 60 tokens are waiting and 3 more are asked for: 63 s of one core.
            batcher_of(api).learn_speed(10**9, 1e9)

            refused = await api.ner("Maria", headers={"X-Request-Timeout-Ms": "9000"})

        assert (await waiting).status_code == 200
        assert_problem(refused, 504, "deadline_exceeded", "would take about")
        assert await api.total("loyal_rejected_total", reason="deadline") == 1


async def test_request_of_too_many_tokens_is_422_and_named(store: Path) -> None:
    """Each input is three tokens."""
    async with serving(store, max_request_tokens=8) as api:
        response = await api.ner(["Ion", "Maria", "Ion"])

    assert_problem(response, 422, "request_too_long", "3 tokens, 2 of those", index=2)


async def test_empty_queue_takes_more_than_it_holds(store: Path) -> None:
    async with serving(store, max_queue_items=2, max_queue_tokens=10) as api:
        response = await api.ner(["Ion", "Maria", "Ion " * 100])

    assert [len(entities) for entities in response.json()] == [1, 1, 100]


async def test_client_that_leaves_frees_its_place(store: Path) -> None:
    async with serving(store) as api:
        with api.workers_held():
            left = asyncio.Event()
            request = asyncio.create_task(post_and_leave(api, "ner", "Maria", left))
            await until(lambda: batcher_of(api).queued_items == 1)

            left.set()
            await request

            await until(lambda: batcher_of(api).queued_items == 0)
        assert await api.total("loyal_requests_total", code="499") == 1
        assert await api.total("loyal_rejected_total", reason="disconnected") == 1


async def test_order_is_kept_and_answers_are_not_mixed_up_under_concurrency(store: Path) -> None:
    texts = ["Ion", "la Iași", "Maria Ionescu", "merge", "și București, Timișoara"]

    async with serving(store, threads=2) as api:
        alone = [(await api.ner(text)).json() for text in texts]
        together = await asyncio.gather(*(api.ner(texts[n % 5 :]) for n in range(60)))

    for n, response in enumerate(together):
        assert response.json() == alone[n % 5 :]


async def test_request_after_the_stop_is_told_that_the_service_drains(store: Path) -> None:
    async with serving(store) as api:
        api.service.registry.stop()

        responses = [await api.ner("Ion"), await api.ner("Ion", model="tiny:1")]

    for response in responses:
        assert_problem(response, 503, "draining", "shutting down")
