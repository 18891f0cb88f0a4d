import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fairness import FairShare, finish_s

seconds = st.floats(0.001, 2.0)


class TestFairShare:
    @given(st.lists(seconds, min_size=1, max_size=60), seconds, st.integers(2, 5))
    def test_flows_that_always_have_work_get_equal_time_whatever_their_batches_take(
        self, long_batches: list[float], short_batch: float, flows: int
    ) -> None:
        """No two of them are ever further apart than one batch of each."""
        share: FairShare[int] = FairShare()
        used = [0.0] * flows
        for flow in range(flows):
            share.wake(flow)
        for batch in long_batches * flows:
            flow = share.next()
            assert flow is not None
            cost = batch if flow == 0 else short_batch
            share.charge(flow, cost)
            used[flow] += cost

            assert max(used) - min(used) <= max(long_batches) + short_batch + 1e-9

    @given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=60), st.integers(1, 4))
    def test_wrong_expectations_are_made_good_when_batches_end(
        self, batches: list[tuple[float, float]], cores: int
    ) -> None:
        """As many batches run at once as there are cores; each is settled when it ends."""
        share: FairShare[str] = FairShare()
        used = {"a": 0.0, "b": 0.0}
        running: list[tuple[str, float]] = []
        for flow in used:
            share.wake(flow)
        for expected, actual in batches:
            flow = share.next()
            assert flow is not None
            share.charge(flow, expected)
            running.append((flow, actual - expected))
            used[flow] += actual
            if len(running) == cores:
                share.charge(*running.pop(0))

        most = max(max(batch) for batch in batches)
        assert abs(used["a"] - used["b"]) <= 2 * (cores + 1) * most

    @given(seconds, st.integers(1, 100))
    def test_idle_flow_keeps_no_credit(self, batch: float, batches: int) -> None:
        share: FairShare[str] = FairShare()
        share.wake("busy")
        for _ in range(batches):
            share.charge(share.next() or "", batch)

        share.wake("late")
        turns = []
        for _ in range(6):
            turns.append(share.next())
            share.charge(share.next() or "", batch)

        assert turns[0] == "late"
        assert turns.count("late") == 3

    @given(st.lists(st.sampled_from(["wake", "rest", "charge", "next", "leave"]), max_size=60))
    def test_next_is_always_one_that_has_work(self, steps: list[str]) -> None:
        share: FairShare[str] = FairShare()
        has_work: set[str] = set()
        for number, step in enumerate(steps):
            flow = "abc"[number % 3]
            if step == "wake":
                share.wake(flow)
                has_work.add(flow)
            elif step == "charge":
                share.charge(flow, 0.1)
            elif step == "next":
                assert (share.next() in has_work) if has_work else share.next() is None
            else:
                getattr(share, step)(flow)
                has_work.discard(flow)
            assert bool(share) == bool(has_work)

    def test_first_to_have_work_goes_first(self) -> None:
        share: FairShare[str] = FairShare()
        share.wake("b")
        share.wake("a")

        assert share.next() == "b"


class TestFinish:
    @pytest.mark.parametrize(
        ("own_s", "others_s", "cores", "expected_s"),
        [
            (2.0, [], 1, 2.0),
            (2.0, [], 2, 1.0),
            (2.0, [8.0], 1, 4.0),
            (2.0, [0.5], 1, 2.5),
            (2.0, [8.0, 8.0], 2, 3.0),
            (0.0, [8.0], 1, 0.0),
        ],
    )
    def test_others_get_as_much_as_one_gets_oneself_at_most(
        self, own_s: float, others_s: list[float], cores: int, expected_s: float
    ) -> None:
        assert finish_s(own_s, others_s, cores=cores) == pytest.approx(expected_s)

    @given(st.lists(seconds, min_size=1, max_size=6), st.integers(1, 4))
    def test_is_what_the_scheduler_does_with_small_batches(
        self, work_s: list[float], cores: int
    ) -> None:
        batch, share, left, used = 0.001, FairShare[int](), list(work_s), 0.0
        for flow in range(len(work_s)):
            share.wake(flow)
        while left[0] > 0:
            flow = share.next()
            assert flow is not None
            share.charge(flow, batch)
            left[flow] -= batch
            used += batch
            if left[flow] <= 0:
                share.rest(flow)

        expected_s = finish_s(work_s[0], work_s[1:], cores=cores)
        assert used / cores == pytest.approx(expected_s, abs=3 * batch * len(work_s))
