import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.batch_policy import Limits
from app.batching import Batcher
from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Cores
from app.errors import DeadlineExceeded, InferenceFailed, QueueFull, Unavailable
from app.isolation import Run, run_isolated
from app.metrics import Metrics
from tests.app.harness import until

LIMITS = Limits(
    max_batch_tokens=64,
    max_batch_items=4,
    max_queue_items=8,
    max_queue_tokens=80,
    max_request_tokens=10_000,
    max_queue_s=60.0,
)
ROOMY = replace(LIMITS, max_queue_items=1000, max_queue_tokens=10_000)
POISON = 666


def window(length: int, *, first_id: int = 1) -> Window:
    ids = np.arange(first_id, first_id + length, dtype=np.int64)
    return Window(ids, np.zeros_like(ids), offset=0, prefix=0, size=length)


def echo(windows: Sequence[Window]) -> list[WindowOutputs]:
    """A runner whose outputs are the ids, so that each answer shows whose it is."""
    return [{"ids": window.input_ids.astype(np.float32)} for window in windows]


def echo_unless_poisoned(windows: Sequence[Window]) -> list[WindowOutputs]:
    if any(POISON in window.input_ids for window in windows):
        raise RuntimeError("the graph fails")
    return echo(windows)


class Gate:
    """A runner that waits until it is opened and remembers its batches."""

    def __init__(self, run: Run = echo) -> None:
        self.batches: list[list[int]] = []
        self._run = run
        self._opened = threading.Event()

    def __call__(self, windows: Sequence[Window]) -> list[WindowOutputs]:
        self.batches.append([len(window.input_ids) for window in windows])
        assert self._opened.wait(10)
        return self._run(windows)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def cores() -> Iterator[Cores]:
    core = Cores(1)
    yield core
    core.close()


@asynccontextmanager
async def batching(
    run: Run,
    cores: Cores,
    metrics: Metrics | None = None,
    *,
    limits: Limits = LIMITS,
    seconds_per_token: float = 1e-6,
) -> AsyncIterator[Batcher]:
    batcher = Batcher(
        run,
        cores,
        limits=limits,
        metrics=(metrics or Metrics()).for_model("ner", "tiny", "1"),
        seconds_per_token=seconds_per_token,
    )
    try:
        yield batcher
    finally:
        batcher.stop("draining", "the test is over")


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


@pytest.mark.anyio
class TestLongRequests:
    """A full batch is 64 tokens or 4 windows, so 25 windows make a request long."""

    long = [window(8, first_id=1000)] * 25

    async def test_short_requests_pass_a_long_one_that_came_before(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            waiting = await fill(batcher, gate, self.long)
            for length in (5, 6):
                waiting.append(asyncio.create_task(batcher.submit([window(length)])))
            await until(lambda: batcher.queued_items == 27)
            gate.open()
            await asyncio.gather(*waiting)

        assert [5, 6] in gate.batches[1:3]
        assert sum(len(batch) for batch in gate.batches) == 1 + 25 + 2

    async def test_long_request_runs_in_quarters_of_a_batch_with_nothing_else_in_it(
        self, cores: Cores
    ) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            waiting = await fill(batcher, gate, self.long)
            waiting.append(asyncio.create_task(batcher.submit([window(8)])))
            await until(lambda: batcher.queued_items == 26)
            gate.open()
            await asyncio.gather(*waiting)

        assert sorted(gate.batches[1:], key=len) == [[8], [8], *[[8, 8]] * 12]

    async def test_long_requests_take_turns(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores, limits=ROOMY) as batcher:
            waiting = await fill(batcher, gate, self.long)
            waiting.append(asyncio.create_task(batcher.submit([window(7)] * 25)))
            await until(lambda: batcher.queued_items == 50)
            gate.open()
            await asyncio.gather(*waiting)

        assert gate.batches[1:25] == [[8, 8], [7, 7]] * 12

    async def test_everyone_gets_their_own_answer(self, cores: Cores) -> None:
        requests = [[window(4, first_id=100 * n + i) for i in range(30)] for n in range(3)]
        async with batching(echo, cores, limits=ROOMY) as batcher:
            answers = await asyncio.gather(*map(batcher.submit, requests))

        for request, answer in zip(requests, answers, strict=True):
            assert [int(outcome.outputs["ids"][0]) for outcome in answer] == [
                window.input_ids[0] for window in request
            ]

    async def test_short_request_is_not_refused_because_a_long_one_waits(
        self, cores: Cores
    ) -> None:
        """The long one alone is above every bound of the queue."""
        gate = Gate()
        limits = replace(LIMITS, max_queue_s=0.001)
        async with batching(gate, cores, limits=limits, seconds_per_token=0.01) as batcher:
            waiting = await fill(batcher, gate, self.long)

            batcher.refuse_if_full()
            soon_s = time.monotonic() + 60
            waiting.append(asyncio.create_task(batcher.submit([window(8)], deadline_s=soon_s)))
            await until(lambda: batcher.queued_items == 26)
            gate.open()
            await asyncio.gather(*waiting)

    async def test_second_long_request_that_does_not_fit_beside_the_first_is_refused(
        self, cores: Cores
    ) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            waiting = await fill(batcher, gate, self.long)

            with pytest.raises(QueueFull, match="25 windows with 200 tokens"):
                await batcher.submit(self.long)
            gate.open()
            await asyncio.gather(*waiting)

    async def test_long_request_that_would_be_late_behind_another_is_refused(
        self, cores: Cores
    ) -> None:
        gate = Gate()
        async with batching(gate, cores, limits=ROOMY, seconds_per_token=0.1) as batcher:
            waiting = await fill(batcher, gate, self.long)

            with pytest.raises(DeadlineExceeded, match="would take about 40000 ms"):
                await batcher.submit(self.long, deadline_s=time.monotonic() + 30)
            gate.open()
            await asyncio.gather(*waiting)

    async def test_cancelled_long_request_runs_no_further(self, cores: Cores) -> None:
        gate = Gate()
        async with batching(gate, cores) as batcher:
            *running, long = await fill(batcher, gate, self.long)
            long.cancel()
            await until(long.done)

            assert (batcher.queued_items, batcher.queued_tokens) == (0, 0)
            gate.open()
            await asyncio.gather(*running)

        assert gate.batches == [[1]]

    async def test_failing_window_of_a_long_request_ends_it(self, cores: Cores) -> None:
        gate = Gate(echo_unless_poisoned)
        async with batching(gate, cores) as batcher:
            windows = [window(8), window(8, first_id=POISON - 3), *self.long]
            *running, long = await fill(batcher, gate, windows)
            gate.open()

            with pytest.raises(InferenceFailed) as failure:
                await long
            await asyncio.gather(*running)

            assert failure.value.position == 1
            assert batcher.queued_items == 0

    async def test_other_cores_run_a_long_request_too(self) -> None:
        two = Cores(2)
        gate = Gate()
        try:
            async with batching(gate, two) as batcher:
                long = asyncio.create_task(batcher.submit(self.long))
                await until(lambda: len(gate.batches) == 2)
                gate.open()
                assert len(await long) == 25
        finally:
            two.close()


async def fill(
    batcher: Batcher, gate: Gate, windows: Sequence[Window]
) -> list[asyncio.Task[object]]:
    """Occupy the core, then queue `windows` as one request."""
    running = asyncio.create_task(batcher.submit([window(1)]))
    await until(lambda: gate.batches == [[1]])
    if not windows:
        return [running]
    waiting = asyncio.create_task(batcher.submit(windows))
    await until(lambda: batcher.queued_items == len(windows))
    return [running, waiting]
