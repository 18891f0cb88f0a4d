"""What callers see when more requests arrive than a model can answer, in simulated time.

The queue and the threads are the real ones. Only the clock is not: a batch takes as long as the
runner says, and whatever arrives meanwhile is submitted before it ends.
"""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles

import numpy as np
import pytest

from app import batching as batching_module
from app import cores as cores_module
from app.batch_policy import Limits
from app.batching import Batcher
from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Cores
from app.errors import QueueFull
from tests.app.harness import until
from tests.app.runners import batching, window

pytestmark = pytest.mark.anyio

TOKENS = 16
BATCH_S = 0.008
CAPACITY_PER_S = 1000.0
"""A batch holds eight requests."""
MAX_QUEUE_S = 0.15
LIMITS = Limits(
    max_batch_tokens=8 * TOKENS,
    max_batch_items=8,
    max_queue_items=10_000,
    max_queue_tokens=1_000_000,
    max_request_tokens=10_000,
    max_queue_s=MAX_QUEUE_S,
)
DURATION_S = 3.0
SETTLED_S = 1.0
"""By then the real speed has been learnt, and what was accepted before is answered."""


@dataclass
class Clock:
    """Stands in for the module `time`."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@dataclass
class Simulation:
    """Callers who do not wait for each other, and a model whose batches take BATCH_S.

    Attributes:
        arrivals_s: when the next ones come, latest first.
        latencies_s: of accepted requests, by when they came.
        refusals: of the others.
    """

    clock: Clock
    arrivals_s: list[float]
    batcher: Batcher | None = None
    latencies_s: dict[float, float] = field(default_factory=dict)
    refusals: list[QueueFull] = field(default_factory=list)
    callers: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self, *, believed_per_s: float) -> None:
        """Until all have an answer.

        Args:
            believed_per_s: capacity, as measured at load.
        """
        self._loop = asyncio.get_running_loop()
        cores = Cores(1)
        speed = 1 / (believed_per_s * TOKENS)
        async with batching(
            self._run_batch, cores, limits=LIMITS, seconds_per_token=speed
        ) as self.batcher:
            while self.arrivals_s:
                await until(self._is_idle)
                if self.arrivals_s:
                    await self._arrive_until(self.arrivals_s[-1])
            await asyncio.gather(*self.callers)
        cores.close()

    def _is_idle(self) -> bool:
        assert self.batcher is not None
        is_busy = self.batcher.queued_items or self.batcher.batches_in_flight
        return not is_busy or not self.arrivals_s

    def _run_batch(self, windows: Sequence[Window]) -> list[WindowOutputs]:
        """On the core's thread: let time pass."""
        end_s = self.clock.now_s + BATCH_S
        asyncio.run_coroutine_threadsafe(self._arrive_until(end_s), self._loop).result(10)
        self.clock.now_s = end_s
        return [{"end_s": np.float64(end_s)} for _ in windows]

    async def _arrive_until(self, end_s: float) -> None:
        while self.arrivals_s and self.arrivals_s[-1] <= end_s:
            self.clock.now_s = self.arrivals_s.pop()
            self.callers.append(asyncio.create_task(self._ask(self.clock.now_s)))
            await asyncio.sleep(0)  # the caller submits

    async def _ask(self, arrived_s: float) -> None:
        assert self.batcher is not None
        try:
            [outcome] = await self.batcher.submit([window(TOKENS)])
        except QueueFull as refusal:
            self.refusals.append(refusal)
        else:
            self.latencies_s[arrived_s] = float(outcome.outputs["end_s"]) - arrived_s

    def p99_s(self) -> float:
        """Of what arrived once the speed was known."""
        start_s = min(self.latencies_s) + SETTLED_S
        settled = [latency for at_s, latency in self.latencies_s.items() if at_s > start_s]
        return quantiles(settled, n=100)[-1]


async def offer(
    monkeypatch: pytest.MonkeyPatch, load: float, *, believed_per_s: float = CAPACITY_PER_S
) -> Simulation:
    """Offer a Poisson stream of `load` times the capacity."""
    clock, chance = Clock(), random.Random(1)
    for module in (batching_module, cores_module):
        monkeypatch.setattr(module, "time", clock)
    gaps_s = (chance.expovariate(load * CAPACITY_PER_S) for _ in itertools.count())
    arrivals_s = itertools.takewhile(
        lambda at_s: at_s < clock.now_s + DURATION_S,
        itertools.accumulate(gaps_s, initial=clock.now_s),
    )
    simulation = Simulation(clock, sorted(arrivals_s, reverse=True))
    await simulation.run(believed_per_s=believed_per_s)
    assert len(simulation.latencies_s) + len(simulation.refusals) == len(simulation.callers)
    return simulation


async def test_nobody_is_refused_at_half_of_the_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    half = await offer(monkeypatch, 0.5)

    assert half.refusals == []
    assert half.p99_s() < 5 * BATCH_S


@pytest.mark.parametrize("believed_per_s", [CAPACITY_PER_S / 3, CAPACITY_PER_S, CAPACITY_PER_S * 3])
async def test_overload_is_refused_and_the_latency_of_the_accepted_stays_flat(
    monkeypatch: pytest.MonkeyPatch, believed_per_s: float
) -> None:
    """Whatever speed was measured at load.

    An accepted request waits for at most MAX_QUEUE_S of work, the batch that runs, and its own.
    """
    overloaded = await offer(monkeypatch, 2.0, believed_per_s=believed_per_s)

    assert 0.95 < len(overloaded.latencies_s) / (CAPACITY_PER_S * DURATION_S) < 1.2
    assert MAX_QUEUE_S / 2 < overloaded.p99_s() < MAX_QUEUE_S + 3 * BATCH_S
    assert all(1 <= (refusal.retry_after_s or 0) <= 30 for refusal in overloaded.refusals)


async def test_accepted_take_no_longer_at_four_times_the_capacity_than_at_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twice = await offer(monkeypatch, 2.0)
    four_times = await offer(monkeypatch, 4.0)

    assert len(four_times.refusals) > 2 * len(twice.refusals)
    assert abs(four_times.p99_s() - twice.p99_s()) < BATCH_S
