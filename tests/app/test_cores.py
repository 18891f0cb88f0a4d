"""Models that share the cores: who runs, and what happens when scheduling itself fails."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from app.batch_policy import Limits
from app.batching import Batcher
from app.contract.encoded_text import Window, WindowOutputs
from app.cores import Cores, Job
from app.errors import QueueFull, Unavailable
from app.metrics import Metrics
from tests.app.harness import until

pytestmark = pytest.mark.anyio

LIMITS = Limits(
    max_batch_tokens=64,
    max_batch_items=1,
    max_queue_items=50,
    max_queue_tokens=1000,
    max_request_tokens=1000,
    max_queue_s=1e9,
)


def window(length: int = 1) -> Window:
    ids = np.ones(length, np.int64)
    return Window(ids, ids, offset=0, prefix=0, size=length)


@pytest.fixture
def cores() -> Iterator[Cores]:
    core = Cores(1)
    yield core
    core.close()


class Track:
    """What ran, in order; the first batch of all waits until the gate is opened."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.opened = threading.Event()

    def runner(self, name: str) -> Callable[[Sequence[Window]], list[WindowOutputs]]:
        def run(windows: Sequence[Window]) -> list[WindowOutputs]:
            self.order.append(name)
            assert self.opened.wait(10)
            return [{"logits": np.zeros(window.num_tokens, np.float32)} for window in windows]

        return run

    def batcher(self, name: str, cores: Cores, *, seconds_per_token: float = 1.0) -> Batcher:
        metrics = Metrics().for_model("ner", name, "1")
        run = self.runner(name)
        return Batcher(
            run, cores, limits=LIMITS, metrics=metrics, seconds_per_token=seconds_per_token
        )

    async def until_running(self, name: str) -> None:
        await until(lambda: self.order[-1:] == [name])


def submit(batcher: Batcher, count: int = 1) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(batcher.submit([window()])) for _ in range(count)]


async def test_model_flooded_with_batches_does_not_starve_another(cores: Cores) -> None:
    track = Track()
    flooded, other = track.batcher("flooded", cores), track.batcher("other", cores)
    waiting = submit(flooded, 30)
    await track.until_running("flooded")
    waiting += submit(other, 3)
    await until(lambda: other.queued_items == 3)

    track.opened.set()
    await asyncio.gather(*waiting)

    positions = [at for at, name in enumerate(track.order) if name == "other"]
    assert positions[0] <= 2
    assert positions[-1] <= 12


async def test_background_waits_for_all_normal_work(cores: Cores) -> None:
    track = Track()
    normal = track.batcher("normal", cores)
    shadow = track.batcher("shadow", cores).background(max_queue_items=4)
    running = submit(normal)
    await track.until_running("normal")
    waiting = submit(shadow, 2) + submit(normal, 3)
    await until(lambda: normal.queued_items == 3 and shadow.queued_items == 2)

    track.opened.set()
    await asyncio.gather(*running, *waiting)

    assert track.order == ["normal"] * 4 + ["shadow"] * 2


async def test_normal_work_waits_for_the_background_batch_that_runs_and_no_other(
    cores: Cores,
) -> None:
    track = Track()
    normal = track.batcher("normal", cores)
    shadow = track.batcher("shadow", cores).background(max_queue_items=4)
    waiting = submit(shadow, 3)
    await track.until_running("shadow")
    waiting += submit(normal)
    await until(lambda: normal.queued_items == 1)

    track.opened.set()
    await asyncio.gather(*waiting)

    assert track.order[:2] == ["shadow", "normal"]


async def test_background_is_bounded_and_refuses_first(cores: Cores) -> None:
    track = Track()
    normal = track.batcher("normal", cores)
    shadow = normal.background(max_queue_items=2)
    waiting = submit(normal)
    await track.until_running("normal")
    waiting += submit(shadow, 2)
    await until(lambda: shadow.queued_items == 2)

    with pytest.raises(QueueFull):
        await shadow.submit([window()])
    waiting += submit(normal)

    track.opened.set()
    await asyncio.gather(*waiting)


async def test_background_stops_with_its_model(cores: Cores) -> None:
    track = Track()
    normal = track.batcher("normal", cores)
    shadow = normal.background(max_queue_items=2)

    normal.stop("draining", "the test is over")

    with pytest.raises(Unavailable):
        await shadow.submit([window()])


async def test_estimates_count_the_other_models_share(cores: Cores) -> None:
    track = Track()
    one, other = track.batcher("one", cores), track.batcher("other", cores)
    waiting = submit(one)
    await track.until_running("one")
    waiting += submit(one, 5) + submit(other, 2)
    await until(lambda: other.queued_items == 2)

    assert one.backlog_s == pytest.approx(5 + 2)
    assert other.backlog_s == pytest.approx(2 + 2)

    track.opened.set()
    await asyncio.gather(*waiting)


async def test_all_cores_work_at_once() -> None:
    cores = Cores(3)
    track = Track()
    batcher = track.batcher("wide", cores)
    waiting = asyncio.create_task(batcher.submit([window()] * 5))

    await until(lambda: track.order == ["wide"] * 3)
    await until(lambda: batcher.queued_items == 2)

    track.opened.set()
    await waiting
    cores.close()


class BrokenLane:
    """A lane whose bookkeeping fails."""

    is_background = False
    waiting_s = 0.0
    has_work = True

    def __init__(self) -> None:
        self.was_abandoned = threading.Event()

    def take(self) -> Job | None:
        raise RuntimeError("no batch can be formed")

    def abandon(self) -> None:
        self.was_abandoned.set()


async def test_lane_that_cannot_form_batches_is_abandoned_and_the_others_are_served(
    cores: Cores,
) -> None:
    track = Track()
    track.opened.set()
    sound, broken = track.batcher("sound", cores), BrokenLane()
    cores.join(broken)

    cores.wake(broken)
    await asyncio.gather(*submit(sound))

    assert broken.was_abandoned.wait(10)
    assert sound.is_alive


async def test_dispatcher_that_dies_fails_what_waits_in_every_lane(cores: Cores) -> None:
    """A job must not raise; if one does, the bookkeeping of turns can no longer be trusted."""
    track = Track()
    batcher = track.batcher("held", cores)

    class RaisingLane(BrokenLane):
        def take(self) -> Job | None:
            return Job(self._run, expected_s=0.0)

        def _run(self) -> None:
            assert started.wait(10)
            raise RuntimeError("dispatching fails")

    started = threading.Event()
    raising = RaisingLane()
    cores.join(raising)
    cores.wake(raising)
    held = submit(batcher, 2)
    await until(lambda: batcher.queued_items == 2)
    started.set()

    for task in held:
        with pytest.raises(Unavailable) as failure:
            await task
        assert failure.value.code == "model_unavailable"
    assert not batcher.is_alive
    assert raising.was_abandoned.is_set()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own")
async def test_threads_that_run_models_give_way_to_the_event_loop(cores: Cores) -> None:
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    found: list[int] = []

    def run(windows: Sequence[Window]) -> list[WindowOutputs]:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return [{"logits": np.zeros(window.num_tokens, np.float32)} for window in windows]

    metrics = Metrics().for_model("ner", "nice", "1")
    batcher = Batcher(run, cores, limits=LIMITS, metrics=metrics, seconds_per_token=1)
    await batcher.submit([window()])

    assert found[0] > own
