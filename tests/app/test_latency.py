import pytest

from app.latency import MAX_REQUESTS, MIN_REQUESTS, WINDOW_S, RecentLatency


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_percentile_is_the_nineteenth_of_twenty(clock: Clock) -> None:
    latency = RecentLatency(clock)
    for seconds in range(20, 0, -1):
        latency.observe(seconds)

    assert latency.p95_s == 19


def test_too_few_requests_have_no_percentile(clock: Clock) -> None:
    latency = RecentLatency(clock)
    for _ in range(MIN_REQUESTS - 1):
        latency.observe(1)

    assert latency.p95_s is None


def test_requests_older_than_the_window_do_not_count(clock: Clock) -> None:
    latency = RecentLatency(clock)
    for _ in range(MIN_REQUESTS):
        latency.observe(9)
    clock.now = WINDOW_S
    for _ in range(MIN_REQUESTS):
        latency.observe(1)

    at_the_border = latency.p95_s
    clock.now = WINDOW_S + 1

    assert (at_the_border, latency.p95_s) == (9, 1)


def test_only_the_latest_requests_are_kept(clock: Clock) -> None:
    latency = RecentLatency(clock)
    for seconds in [9] * MAX_REQUESTS + [1] * MAX_REQUESTS:
        latency.observe(seconds)

    assert latency.p95_s == 1
