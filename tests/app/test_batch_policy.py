import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.batch_policy import Speed, queue_bound_s, retry_after_s, take_batch


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


class TestQueueBound:
    @pytest.mark.parametrize(("batch_s", "bound_s"), [(0.01, 0.15), (0.2, 6 * 0.2)])
    def test_is_the_set_time_or_a_few_batches_of_a_slow_model(
        self, batch_s: float, bound_s: float
    ) -> None:
        assert queue_bound_s(0.15, batch_s) == pytest.approx(bound_s)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("backlog_s", "jitter", "seconds"),
        [
            (10.0, 0.0, 10),
            (10.01, 0.0, 11),
            (10.0, 0.2, 12),
            (10.0, -0.2, 8),
            (0.0, 0.0, 1),
            (0.001, -0.2, 1),
            (1e9, 0.2, 30),
        ],
    )
    def test_is_the_time_to_work_off_the_queue_in_bounds(
        self, backlog_s: float, jitter: float, seconds: int
    ) -> None:
        assert retry_after_s(backlog_s, jitter=jitter) == seconds


class TestSpeed:
    def test_starts_at_the_measurement(self) -> None:
        assert Speed(0.002).seconds_per_token == pytest.approx(0.002)

    def test_approaches_what_batches_take(self) -> None:
        speed = Speed(0.002)
        for _ in range(100):
            speed.learn(1000, 5.0)

        assert speed.seconds_per_token == pytest.approx(0.005, rel=0.02)

    def test_duration_of_a_batch_follows_too(self) -> None:
        speed = Speed(0.002)
        for _ in range(100):
            speed.learn(1000, 5.0)

        assert speed.seconds_per_batch == pytest.approx(5.0, rel=0.02)

    def test_one_batch_that_was_held_up_does_not_matter_much(self) -> None:
        speed = Speed(0.001)
        for _ in range(50):
            speed.learn(1000, 1.0)
        speed.learn(1000, 5.0)

        assert 0.001 < speed.seconds_per_token < 0.0013

    def test_batches_count_by_their_size(self) -> None:
        """A lone short item takes long for a token; that says little about a queue."""
        speed = Speed(0.001)
        speed.learn(10, 0.1)

        assert speed.seconds_per_token < 0.0012
