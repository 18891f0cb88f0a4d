"""Which line runs next, and how long requests take turns: the policy, without clock or threads."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.batch_policy import Limits
from app.contract.encoded_text import Window
from app.items import Item, Request
from app.waiting import PATIENCE, Line, Waiting

LIMITS = Limits(
    max_batch_tokens=64,
    max_batch_items=4,
    max_queue_items=8,
    max_queue_tokens=80,
    max_request_tokens=1000,
    max_queue_s=1.0,
)


def items(count: int, *, tokens: int = 1) -> list[Item]:
    """The windows of one request."""
    ids = np.ones(tokens, np.int64)
    window = Window(ids, ids, offset=0, prefix=0, size=tokens)
    request = Request(deadline_s=1e9, admitted_s=0.0)
    nobody: Any = None  # a future needs a running event loop, and the policy none
    return [Item(window, position, nobody, request) for position in range(count)]


def run(waiting: Waiting, line: Line, count: int) -> list[Item]:
    batch = line.next_items(count)
    waiting.start(line, batch)
    return batch


def waiting_with(*, short: int = 0, long: int = 0, cores: int = 1) -> Waiting:
    waiting = Waiting(LIMITS, cores=cores)
    waiting.short.add(items(short))
    waiting.long.add(items(long))
    return waiting


def test_a_request_of_more_than_six_full_batches_is_long() -> None:
    waiting = Waiting(LIMITS, cores=1)

    assert waiting.line_of(items=24, tokens=384) is waiting.short
    assert waiting.line_of(items=25, tokens=25) is waiting.long
    assert waiting.line_of(items=1, tokens=385) is waiting.long


def test_a_short_request_goes_before_the_rest_of_a_long_one() -> None:
    waiting = waiting_with(long=100)
    for _ in range(5):
        assert waiting.next() is waiting.long
        run(waiting, waiting.long, 2)

    waiting.short.add(items(1))

    assert waiting.next() is waiting.short


def test_lines_that_both_have_work_get_half_of_the_tokens_each() -> None:
    waiting = waiting_with(short=10_000, long=10_000, cores=2)
    ran = {waiting.short: 0, waiting.long: 0}

    for _ in range(300):
        line = waiting.next()
        assert line is not None
        ran[line] += len(run(waiting, line, 8 if line is waiting.short else 2))
        line.running -= 1

    assert abs(ran[waiting.short] - ran[waiting.long]) <= 8


def test_a_long_request_alone_may_take_every_core() -> None:
    waiting = waiting_with(long=100, cores=4)

    for _ in range(4):
        assert waiting.next() is waiting.long
        run(waiting, waiting.long, 2)

    assert waiting.next() is waiting.long


def test_one_core_is_kept_free_of_long_requests_while_short_ones_come() -> None:
    waiting = waiting_with(short=1, long=100, cores=2)
    run(waiting, waiting.short, 1)
    assert waiting.next() is waiting.long
    run(waiting, waiting.long, 2)

    assert waiting.next() is None

    waiting.long.running -= 1
    assert waiting.next() is waiting.long


def test_no_core_is_kept_free_once_no_short_request_has_come_for_a_while() -> None:
    waiting = waiting_with(short=1, long=100, cores=2)
    run(waiting, waiting.short, 1)
    for _ in range(PATIENCE):
        run(waiting, waiting.long, 1)
        waiting.long.running -= 1

    run(waiting, waiting.long, 1)

    assert waiting.next() is waiting.long


def test_one_core_runs_long_requests_too() -> None:
    waiting = waiting_with(short=1, long=100, cores=1)
    run(waiting, waiting.short, 1)

    assert waiting.next() is waiting.long


def test_work_ahead_counts_the_other_line_as_far_as_it_takes_turns() -> None:
    waiting = waiting_with(short=10, long=100)

    assert waiting.tokens_until_done(waiting.short, 5) == 15 + 15
    assert waiting.tokens_until_done(waiting.long, 0) == 100 + 10


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 5), st.booleans())
def test_every_item_leaves_a_line_once_and_in_the_order_of_its_request(
    sizes: list[int], batch: int, takes_turns: bool
) -> None:
    line = Line(max_batch_tokens=64, takes_turns=takes_turns)
    requests = [items(size) for size in sizes]
    for request in requests:
        line.add(request)
    left: list[Item] = []

    while line:
        chosen = line.next_items(batch)
        if takes_turns:
            assert len({item.request for item in chosen}) == 1
        line.pass_turn()
        line.remove(chosen)
        left += chosen

    assert line.tokens == 0
    for request in requests:
        assert [item for item in left if item.request is request[0].request] == request
    assert len(left) == sum(sizes)


def test_no_request_has_two_turns_while_another_has_none() -> None:
    line = Line(max_batch_tokens=64, takes_turns=True)
    requests = [items(3), items(5), items(2)]
    for request in requests:
        line.add(request)
    order = []

    while line:
        [item] = line.next_items(1)
        line.pass_turn()
        line.remove([item])
        order.append(requests.index(next(r for r in requests if item in r)))

    assert order == [0, 1, 2, 0, 1, 2, 0, 1, 1, 1]


def test_removing_what_does_not_wait_changes_nothing() -> None:
    line = Line(max_batch_tokens=64, takes_turns=True)
    line.add(items(3, tokens=2))

    line.remove(items(3, tokens=2))

    assert (len(line), line.tokens) == (3, 6)
