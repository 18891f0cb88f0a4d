import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.batch_policy import Limits, retry_after_s, take_batch
from app.batching import Batcher
from app.contract.encoded_text import Window, WindowOutputs
from app.errors import InferenceFailed, QueueFull, RequestError, Unavailable
from app.isolation import Run, run_isolated
from app.metrics import Metrics
from tests.app.harness import until

LIMITS = Limits(max_batch_tokens=64, max_batch_items=4, max_queue_items=8, max_queue_tokens=80)
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
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@asynccontextmanager
async def batching(
    run: Run, executor: ThreadPoolExecutor, metrics: Metrics | None = None
) -> AsyncIterator[Batcher]:
    batcher = Batcher(
        run,
        executor,
        workers=1,
        limits=LIMITS,
        metrics=(metrics or Metrics()).for_model("ner", "tiny", "1"),
    )
    try:
        yield batcher
    finally:
        batcher.stop("draining", "the test is over")


class TestTakeBatch:
    lengths = st.lists(st.integers(1, 300), min_size=1, max_size=128)
    tokens = st.integers(1, 2048)
    items = st.integers(1, 16)

    @given(lengths, tokens, items)
    def test_oldest_always_leaves(self, lengths: list[int], tokens: int, items: int) -> None:
        chosen = take_batch(lengths, max_batch_tokens=tokens, max_batch_items=items)

        assert chosen[0] == 0

    @given(lengths, tokens, items)
    def test_no_item_is_taken_twice(self, lengths: list[int], tokens: int, items: int) -> None:
        chosen = take_batch(lengths, max_batch_tokens=tokens, max_batch_items=items)

        assert len(set(chosen)) == len(chosen)

    @given(lengths, tokens, items)
    def test_padded_size_fits_the_budget_unless_one_item_is_larger(
        self, lengths: list[int], tokens: int, items: int
    ) -> None:
        chosen = take_batch(lengths, max_batch_tokens=tokens, max_batch_items=items)

        padded = max(lengths[position] for position in chosen) * len(chosen)
        assert padded <= tokens or len(chosen) == 1
        assert len(chosen) <= items

    @given(lengths, tokens, items)
    def test_none_left_behind_is_nearer_to_the_oldest_than_one_taken(
        self, lengths: list[int], tokens: int, items: int
    ) -> None:
        chosen = take_batch(lengths, max_batch_tokens=tokens, max_batch_items=items)

        distance = [abs(length - lengths[0]) for length in lengths]
        left = [distance[n] for n in range(len(lengths)) if n not in chosen]
        assert max(distance[n] for n in chosen) <= min(left, default=max(distance))

    @given(lengths, tokens, items)
    def test_repeated_taking_empties_any_queue(
        self, lengths: list[int], tokens: int, items: int
    ) -> None:
        waiting = lengths.copy()
        for _ in lengths:
            if waiting:
                taken = take_batch(waiting, max_batch_tokens=tokens, max_batch_items=items)
                waiting = [n for at, n in enumerate(waiting) if at not in taken]

        assert waiting == []

    def test_older_of_two_equally_near_goes_first(self) -> None:
        assert take_batch([10, 12, 8, 12], max_batch_tokens=100, max_batch_items=3) == [0, 1, 2]


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("queued_tokens", "tokens_per_s", "jitter", "seconds"),
        [
            (1000, 100.0, 0.0, 10),
            (1001, 100.0, 0.0, 11),
            (1000, 100.0, 0.2, 12),
            (1000, 100.0, -0.2, 8),
            (1000, 0.0, 0.0, 1),
            (1, 1000.0, -0.2, 1),
            (10**9, 1.0, 0.2, 30),
        ],
    )
    def test_is_the_time_to_work_off_the_queue_in_bounds(
        self, queued_tokens: int, tokens_per_s: float, jitter: float, seconds: int
    ) -> None:
        assert retry_after_s(queued_tokens, tokens_per_s, jitter=jitter) == seconds


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
    async def test_everyone_gets_their_own_answer(self, executor: ThreadPoolExecutor) -> None:
        async with batching(echo, executor) as batcher:
            requests = [[window(n, first_id=100 * n), window(1, first_id=n)] for n in (3, 1, 2, 4)]

            answers = await asyncio.gather(*(batcher.submit(request) for request in requests))

        for request, answer in zip(requests, answers, strict=True):
            for sent, outcome in zip(request, answer, strict=True):
                assert outcome.outputs["ids"].tolist() == sent.input_ids.tolist()

    async def test_batches_grow_while_the_worker_is_busy(
        self, executor: ThreadPoolExecutor
    ) -> None:
        """One runs, one is prepared, the others wait together; no timer is involved."""
        gate = Gate()
        async with batching(gate, executor) as batcher:
            first = asyncio.create_task(batcher.submit([window(9)]))
            await until(lambda: gate.batches == [[9]])
            second = asyncio.create_task(batcher.submit([window(8)]))
            await until(lambda: batcher.batches_in_flight == 2)
            others = [asyncio.create_task(batcher.submit([window(n)])) for n in (5, 6, 7)]
            await until(lambda: batcher.queued_items == 3)
            gate.open()
            await asyncio.gather(first, second, *others)

        assert gate.batches == [[9], [8], [5, 6, 7]]

    async def test_request_is_admitted_whole_or_not_at_all(
        self, executor: ThreadPoolExecutor
    ) -> None:
        gate = Gate()
        async with batching(gate, executor) as batcher:
            waiting = await fill(batcher, gate, [window(1)] * 6)

            with pytest.raises(QueueFull):
                await batcher.submit([window(1)] * 3)

            assert batcher.queued_items == 6
            gate.open()
            await asyncio.gather(*waiting)

    async def test_queue_is_bounded_in_tokens_too(self, executor: ThreadPoolExecutor) -> None:
        gate = Gate()
        async with batching(gate, executor) as batcher:
            waiting = await fill(batcher, gate, [window(50)])

            with pytest.raises(QueueFull) as refusal:
                await batcher.submit([window(31)])

            assert 1 <= (refusal.value.retry_after_s or 0) <= 30
            gate.open()
            await asyncio.gather(*waiting)

    @pytest.mark.parametrize("windows", [[window(1)] * 9, [window(81)]])
    async def test_request_that_would_never_fit_is_not_told_to_retry(
        self, executor: ThreadPoolExecutor, windows: list[Window]
    ) -> None:
        async with batching(echo, executor) as batcher:
            with pytest.raises(RequestError) as refusal:
                await batcher.submit(windows)

        assert refusal.value.code == "request_too_long"

    async def test_cancelled_request_frees_its_place_and_never_runs(
        self, executor: ThreadPoolExecutor
    ) -> None:
        gate = Gate()
        async with batching(gate, executor) as batcher:
            waiting = await fill(batcher, gate, [window(7)] * 2)
            waiting[-1].cancel()
            await until(waiting[-1].done)

            assert (batcher.queued_items, batcher.queued_tokens) == (0, 0)
            gate.open()
            await asyncio.gather(*waiting[:-1])

        assert [7, 7] not in gate.batches

    async def test_prepared_batch_whose_requests_were_cancelled_never_runs(
        self, executor: ThreadPoolExecutor
    ) -> None:
        gate = Gate()
        async with batching(gate, executor) as batcher:
            running, prepared, waiting = await fill(batcher, gate, [window(3)])
            prepared.cancel()
            gate.open()
            await asyncio.gather(running, waiting)

        assert gate.batches == [[1], [3]]

    async def test_poisoned_item_fails_alone_in_a_shared_batch(
        self, executor: ThreadPoolExecutor
    ) -> None:
        gate = Gate(echo_unless_poisoned)
        metrics = Metrics()
        async with batching(gate, executor, metrics) as batcher:
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
        self, executor: ThreadPoolExecutor
    ) -> None:
        gate = Gate()
        async with batching(gate, executor) as batcher:
            *running, waiting = await fill(batcher, gate, [window(1)])
            scheduler = next(t for t in asyncio.all_tasks() if t.get_name() == "batching")
            scheduler.cancel()

            with pytest.raises(Unavailable) as failure:
                await waiting
            with pytest.raises(Unavailable):
                await batcher.submit([window(1)])

            assert failure.value.code == "model_unavailable"
            assert not batcher.is_alive
            gate.open()
            await asyncio.gather(*running)

    async def test_stopping_fails_what_waits_and_lets_what_runs_end(
        self, executor: ThreadPoolExecutor
    ) -> None:
        gate = Gate()
        async with batching(gate, executor) as batcher:
            *running, waiting = await fill(batcher, gate, [window(1)])
            batcher.stop("draining", "the service is shutting down")

            with pytest.raises(Unavailable) as failure:
                await waiting
            gate.open()
            await asyncio.gather(*running)

        assert failure.value.code == "draining"

    async def test_padding_and_useful_tokens_add_up_to_what_ran(
        self, executor: ThreadPoolExecutor
    ) -> None:
        metrics = Metrics()
        async with batching(echo, executor, metrics) as batcher:
            await batcher.submit([window(10), window(12), window(8)])

        text = metrics.exposition().decode()
        labels = 'model="tiny",task="ner",version="1"'
        assert f'loyal_tokens_total{{kind="useful",{labels}}} 30.0' in text
        assert f'loyal_tokens_total{{kind="padding",{labels}}} 6.0' in text
        assert f"loyal_batch_items_sum{{{labels}}} 3.0" in text
        assert (
            'loyal_batch_dispatch_total{model="tiny",reason="idle",task="ner",version="1"} 1.0'
            in text
        )


async def fill(
    batcher: Batcher, gate: Gate, windows: Sequence[Window]
) -> list[asyncio.Task[object]]:
    """Occupy the worker and the place ahead of it, then queue `windows` as one request."""
    running = asyncio.create_task(batcher.submit([window(1)]))
    await until(lambda: gate.batches == [[1]])
    prepared = asyncio.create_task(batcher.submit([window(1)]))
    await until(lambda: batcher.batches_in_flight == 2)
    if not windows:
        return [running, prepared]
    waiting = asyncio.create_task(batcher.submit(windows))
    await until(lambda: batcher.queued_items == len(windows))
    return [running, prepared, waiting]
