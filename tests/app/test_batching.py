import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Cores
from app.errors import DeadlineExceeded, InferenceFailed, QueueFull, Unavailable
from app.isolation import run_isolated
from app.metrics import Metrics
from tests.app.harness import until
from tests.app.runners import (
    LIMITS,
    POISON,
    Gate,
    batching,
    echo,
    echo_unless_poisoned,
    fill,
    window,
)


@pytest.fixture
def cores() -> Iterator[Cores]:
    core = Cores(1)
    yield core
    core.close()


class TestRunIsolated:
    @given(st.lists(st.booleans(), min_size=1, max_size=16))
    def test_only_guilty_windows_fail(self, guilty: list[bool]) -> None:
        windows = [window(1, first_id=POISON if bad else n) for n, bad in enumerate(guilty)]

        outcomes = run_isolated(echo_unless_poisoned, windows, on_split=lambda: None)

        assert [outcome is None for outcome in outcomes] == guilty

    def test_sound_batch_runs_once(self) -> None:
        splits: list[int] = []

        run_isolated(echo, [window(1), window(2)], on_split=lambda: splits.append(1))

        assert splits == []

    @pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
    def test_window_with_infinite_outputs_fails_alone(self, odd: float) -> None:
        def run(windows: Sequence[Window]) -> list[WindowOutputs]:
            first, *others = echo(windows)
            return [{"ids": np.full_like(first["ids"], odd)}, *others]

        outcomes = run_isolated(run, [window(2), window(2)], on_split=lambda: None)

        assert [outcome is None for outcome in outcomes] == [True, False]


@pytest.mark.anyio
class TestBatcher:
    async def test_everyone_gets_their_own_answer(self, cores: Cores) -> None:
        async with batching(echo, cores) as batcher:
            requests = [[window(n, first_id=100 * n), window(1, first_id=n)] for n in (3, 1, 2, 4)]

            answers = await asyncio.gather(*(batcher.submit(request) for request in requests))

        for request, answer in zip(requests, answers, strict=True):
            for sent, outcome in zip(request, answer, strict=True):
                assert outcome.outputs["ids"].tolist() == sent.input_ids.tolist()

    async def test_batches_grow_while_the_core_is_busy(self, cores: Cores) -> None:
        """One runs, all others wait together until it ends; no timer is involved."""
        gate = Gate()
        async with batching(gate, cores) as batcher:
            first = asyncio.create_task(batcher.submit([window(9)]))
            await until(lambda: gate.batches == [[9]])
            others = [asyncio.create_task(batcher.submit([window(n)])) for n in (8, 5, 6, 7)]
            await until(lambda: batcher.queued_items == 4)
            gate.open()
            await asyncio.gather(first, *others)

        assert gate.batches == [[9], [8, 7, 6, 5]]

    async def test_request_is_admitted_whole_or_not_at_all(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            waiting = await fill(batcher, gate, [window(1)] * 6)

            with pytest.raises(QueueFull):
                await batcher.submit([window(1)] * 3)

            assert batcher.queued_items == 6
            gate.open()
            await asyncio.gather(*waiting)

    async def test_queue_is_bounded_in_tokens_too(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            waiting = await fill(batcher, gate, [window(50)])

            with pytest.raises(QueueFull) as refusal:
                await batcher.submit([window(31)])

            assert 1 <= (refusal.value.retry_after_s or 0) <= 30
            gate.open()
            await asyncio.gather(*waiting)

    @pytest.mark.parametrize("windows", [[window(1)] * 9, [window(81)]])
    async def test_empty_queue_takes_more_than_it_may_hold(
        self, cores: Cores, windows: list[Window]
    ) -> None:
        async with batching(echo, cores) as batcher:
            outcomes = await batcher.submit(windows)

        assert len(outcomes) == len(windows)

    async def test_cancelled_request_frees_its_place_and_never_runs(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            waiting = await fill(batcher, gate, [window(7)] * 2)
            waiting[-1].cancel()
            await until(waiting[-1].done)

            assert (batcher.queued_items, batcher.queued_tokens) == (0, 0)
            gate.open()
            await asyncio.gather(*waiting[:-1])

        assert [7, 7] not in gate.batches

    async def test_item_past_its_deadline_fails_and_never_runs(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            held = await fill(batcher, gate, [])
            soon_s = time.monotonic() + 0.05
            late = asyncio.create_task(batcher.submit([window(7)], deadline_s=soon_s))
            patient = asyncio.create_task(batcher.submit([window(3)]))
            await until(lambda: batcher.queued_items == 2)
            await until(lambda: time.monotonic() > soon_s)
            gate.open()

            with pytest.raises(DeadlineExceeded, match="while the request waited"):
                await late
            await asyncio.gather(*held, patient)

        assert gate.batches == [[1], [3]]

    async def test_request_that_waits_behind_too_much_is_refused_at_once(
        self, cores: Cores
    ) -> None:
        gate = Gate()
        async with batching(gate, cores, seconds_per_token=1.0) as batcher:
            waiting = await fill(batcher, gate, [window(20)])

            with pytest.raises(DeadlineExceeded, match="would take about 25000 ms"):
                await batcher.submit([window(5)], deadline_s=time.monotonic() + 24.5)

            in_time = asyncio.create_task(
                batcher.submit([window(5)], deadline_s=time.monotonic() + 60)
            )
            await until(lambda: batcher.queued_items == 2)
            gate.open()
            await asyncio.gather(*waiting, in_time)

    async def test_empty_queue_takes_even_what_is_expected_to_be_late(self, cores: Cores) -> None:
        """An estimate that is far too high could otherwise never be corrected."""
        async with batching(echo, cores, seconds_per_token=1e6) as batcher:
            [outcome] = await batcher.submit([window(5)], deadline_s=time.monotonic() + 30)

        assert outcome.outputs["ids"].tolist() == [1, 2, 3, 4, 5]

    async def test_queue_is_bounded_in_time_too(self, cores: Cores) -> None:
        gate = Gate()
        limits = replace(LIMITS, max_batch_tokens=300, max_queue_tokens=10**6, max_queue_s=16.0)
        async with batching(gate, cores, limits=limits, seconds_per_token=0.01) as batcher:
            waiting = await fill(batcher, gate, [window(1500)])
            waiting.append(asyncio.create_task(batcher.submit([window(200)])))
            await until(lambda: batcher.queued_items == 2)

            with pytest.raises(QueueFull, match="about 17000 ms of work") as refusal:
                await batcher.submit([window(1)])
            with pytest.raises(QueueFull):
                batcher.refuse_if_full()

            assert 14 <= (refusal.value.retry_after_s or 0) <= 20
            gate.open()
            await asyncio.gather(*waiting)
            batcher.refuse_if_full()

    async def test_poisoned_item_fails_alone_in_a_shared_batch(self, cores: Cores) -> None:
        gate = Gate(echo_unless_poisoned)
        metrics = Metrics()
        async with batching(gate, cores, metrics) as batcher:
            held = await fill(batcher, gate, [])
            sound = asyncio.create_task(batcher.submit([window(2)]))
            guilty = asyncio.create_task(
                batcher.submit([window(2), window(1, first_id=POISON), window(2)])
            )
            await until(lambda: batcher.queued_items == 4)
            gate.open()
            await asyncio.gather(*held, sound)

            with pytest.raises(InferenceFailed) as failure:
                await guilty

        assert failure.value.position == 1
        assert b"loyal_batch_bisections_total{" in metrics.exposition()

    async def test_scheduler_that_dies_fails_what_waits_and_takes_nothing_more(
        self, cores: Cores
    ) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            running, waiting = await fill(batcher, gate, [window(1)] * 2)
            batcher.limits = replace(LIMITS, max_batch_items=None)  # forming a batch now fails
            gate.open()

            with pytest.raises(Unavailable) as failure:
                await waiting
            with pytest.raises(Unavailable):
                await batcher.submit([window(1)])
            with pytest.raises(Unavailable):
                batcher.refuse_if_full()

            assert failure.value.code == "model_unavailable"
            assert not batcher.is_alive
            await running

    async def test_stopping_fails_what_waits_and_lets_what_runs_end(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            *running, waiting = await fill(batcher, gate, [window(1)])
            batcher.stop("draining", "the service is shutting down")

            with pytest.raises(Unavailable) as failure:
                await waiting
            gate.open()
            await asyncio.gather(*running)

        assert failure.value.code == "draining"

    async def test_padding_and_useful_tokens_add_up_to_what_ran(self, cores: Cores) -> None:
        metrics = Metrics()
        async with batching(echo, cores, metrics) as batcher:
            await batcher.submit([window(10), window(12), window(8)])

        text = metrics.exposition().decode()
        labels = 'model="tiny",task="ner",version="1"'
        assert f'loyal_tokens_total{{kind="useful",{labels}}} 30.0' in text
        assert f'loyal_tokens_total{{kind="padding",{labels}}} 6.0' in text
        assert f"loyal_batch_items_sum{{{labels}}} 3.0" in text
        assert f'loyal_core_seconds_total{{lane="normal",{labels}}}' in text
        assert (
            'loyal_batch_dispatch_total{model="tiny",reason="idle",task="ner",version="1"} 1.0'
            in text
        )
