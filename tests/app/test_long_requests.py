"""Long requests beside others: who runs when, and what is refused."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.cores import Cores
from app.errors import DeadlineExceeded, InferenceFailed, QueueFull
from tests.app.harness import until
from tests.app.runners import (
    LIMITS,
    POISON,
    ROOMY,
    Gate,
    batching,
    echo,
    echo_unless_poisoned,
    fill,
    window,
)

pytestmark = pytest.mark.anyio


LONG = [window(8, first_id=1000)] * 25
"""A full batch is 64 tokens or 4 windows, so 25 windows make a request long."""


@pytest.fixture
def cores() -> Iterator[Cores]:
    core = Cores(1)
    yield core
    core.close()


async def test_short_requests_pass_a_long_one_that_came_before(cores: Cores) -> None:
    gate = Gate()
    async with batching(gate, cores) as batcher:
        waiting = await fill(batcher, gate, LONG)
        for length in (5, 6):
            waiting.append(asyncio.create_task(batcher.submit([window(length)])))
        await until(lambda: batcher.queued_items == 27)
        gate.open()
        await asyncio.gather(*waiting)

    assert [5, 6] in gate.batches[1:3]
    assert sum(len(batch) for batch in gate.batches) == 1 + 25 + 2


async def test_long_request_runs_in_eighths_of_a_batch_with_nothing_else_in_it(
    cores: Cores,
) -> None:
    gate = Gate()
    async with batching(gate, cores) as batcher:
        waiting = await fill(batcher, gate, LONG)
        waiting.append(asyncio.create_task(batcher.submit([window(8)])))
        await until(lambda: batcher.queued_items == 26)
        gate.open()
        await asyncio.gather(*waiting)

    assert gate.batches[1:] == [[8]] * 26


async def test_long_requests_take_turns(cores: Cores) -> None:
    gate = Gate()
    async with batching(gate, cores, limits=ROOMY) as batcher:
        waiting = await fill(batcher, gate, LONG)
        waiting.append(asyncio.create_task(batcher.submit([window(7)] * 25)))
        await until(lambda: batcher.queued_items == 50)
        gate.open()
        await asyncio.gather(*waiting)

    assert gate.batches[1:51] == [[8], [7]] * 25


async def test_everyone_gets_their_own_answer(cores: Cores) -> None:
    requests = [[window(4, first_id=100 * n + i) for i in range(30)] for n in range(3)]
    async with batching(echo, cores, limits=ROOMY) as batcher:
        answers = await asyncio.gather(*map(batcher.submit, requests))

    for request, answer in zip(requests, answers, strict=True):
        assert [int(outcome.outputs["ids"][0]) for outcome in answer] == [
            window.input_ids[0] for window in request
        ]


async def test_short_request_is_not_refused_because_a_long_one_waits(cores: Cores) -> None:
    """The long one alone is above every bound of the queue."""
    gate = Gate()
    limits = replace(LIMITS, max_queue_s=0.001)
    async with batching(gate, cores, limits=limits, seconds_per_token=0.01) as batcher:
        waiting = await fill(batcher, gate, LONG)

        batcher.refuse_if_full()
        soon_s = time.monotonic() + 60
        waiting.append(asyncio.create_task(batcher.submit([window(8)], deadline_s=soon_s)))
        await until(lambda: batcher.queued_items == 26)
        gate.open()
        await asyncio.gather(*waiting)


async def test_long_request_is_not_refused_because_short_ones_wait(cores: Cores) -> None:
    gate = Gate()
    async with batching(gate, cores) as batcher:
        waiting = await fill(batcher, gate, [window(8)] * LIMITS.max_queue_items)

        with pytest.raises(QueueFull):
            batcher.refuse_if_full()
        batcher.refuse_if_full(items=len(LONG), tokens=8 * len(LONG))
        gate.open()
        await asyncio.gather(*waiting)


async def test_second_long_request_that_does_not_fit_beside_the_first_is_refused(
    cores: Cores,
) -> None:
    gate = Gate()
    async with batching(gate, cores) as batcher:
        waiting = await fill(batcher, gate, LONG)

        with pytest.raises(QueueFull, match="25 windows with 200 tokens"):
            await batcher.submit(LONG)
        gate.open()
        await asyncio.gather(*waiting)


async def test_long_request_that_would_be_late_behind_another_is_refused(cores: Cores) -> None:
    gate = Gate()
    async with batching(gate, cores, limits=ROOMY, seconds_per_token=0.1) as batcher:
        waiting = await fill(batcher, gate, LONG)

        with pytest.raises(DeadlineExceeded, match="would take about 40000 ms"):
            await batcher.submit(LONG, deadline_s=time.monotonic() + 30)
        gate.open()
        await asyncio.gather(*waiting)


async def test_cancelled_long_request_runs_no_further(cores: Cores) -> None:
    gate = Gate()
    async with batching(gate, cores) as batcher:
        *running, long = await fill(batcher, gate, LONG)
        long.cancel()
        await until(long.done)

        assert (batcher.queued_items, batcher.queued_tokens) == (0, 0)
        gate.open()
        await asyncio.gather(*running)

    assert gate.batches == [[1]]


async def test_failing_window_of_a_long_request_ends_it(cores: Cores) -> None:
    gate = Gate(echo_unless_poisoned)
    async with batching(gate, cores) as batcher:
        windows = [window(8), window(8, first_id=POISON - 3), *LONG]
        *running, long = await fill(batcher, gate, windows)
        gate.open()

        with pytest.raises(InferenceFailed) as failure:
            await long
        await asyncio.gather(*running)

        assert failure.value.position == 1
        assert batcher.queued_items == 0


async def test_other_cores_run_a_long_request_too() -> None:
    two = Cores(2)
    gate = Gate()
    try:
        async with batching(gate, two) as batcher:
            long = asyncio.create_task(batcher.submit(LONG))
            await until(lambda: len(gate.batches) == 2)
            gate.open()
            assert len(await long) == 25
    finally:
        two.close()
