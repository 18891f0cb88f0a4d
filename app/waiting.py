"""What waits for one model: short requests in order of arrival, long ones in turns.

Nobody waits for the end of a long request: it is run in small batches of its own, and a core that
is free takes the line that has had less. Without clock, loop or I/O.
"""

from collections.abc import Iterable
from itertools import islice

from app.batch_policy import Limits
from app.fairness import FairShare
from app.items import Item, Request

LONG_BATCHES = 6
"""A request of more full batches is long: alone it would fill the queue."""

LONG_SHARE = 8
"""A batch of a long request has this part of a full one's tokens: short ones may wait for it."""

PATIENCE = 16
"""So many batches of long requests without one of a short one, and no core is kept free."""


class Line:
    """Requests of one kind; windows that run together are chosen from those that are next."""

    def __init__(self, *, max_batch_tokens: int, takes_turns: bool) -> None:
        """Nothing waits.

        Args:
            max_batch_tokens: padding included.
            takes_turns: whether a batch has windows of one request, and then it is the next
                request's turn.
        """
        self.max_batch_tokens = max_batch_tokens
        self.takes_turns = takes_turns
        self.tokens = 0
        self.running = 0
        self._length = 0
        # Dicts keep the order of arrival and give items up in constant time.
        self._turns: dict[Request | None, dict[Item, None]] = {}

    def __len__(self) -> int:
        """Windows that wait."""
        return self._length

    def __contains__(self, item: Item) -> bool:
        """Whether a window waits here."""
        return item in self._turns.get(self._turn(item), ())

    def add(self, items: Iterable[Item]) -> None:
        """Let windows wait."""
        for item in items:
            self._turns.setdefault(self._turn(item), {})[item] = None
            self.tokens += item.num_tokens
            self._length += 1

    def remove(self, items: Iterable[Item]) -> None:
        """Let windows wait no more; those that do not wait here are passed over."""
        for item in items:
            if item in self:
                turn = self._turns[self._turn(item)]
                del turn[item]
                self.tokens -= item.num_tokens
                self._length -= 1
                if not turn:
                    del self._turns[self._turn(item)]

    def next_items(self, count: int) -> list[Item]:
        """The oldest windows, of the request whose turn it is if requests take turns."""
        return list(islice(next(iter(self._turns.values()), ()), count))

    def pass_turn(self) -> None:
        """Let the next request have its turn."""
        request = next(iter(self._turns), None)
        if request in self._turns:
            self._turns[request] = self._turns.pop(request)

    def oldest(self) -> Item | None:
        """What has waited longest."""
        firsts = (next(iter(turn)) for turn in self._turns.values())
        return min(firsts, key=lambda item: item.request.admitted_s, default=None)

    def items(self) -> list[Item]:
        """All that wait."""
        return [item for turn in self._turns.values() for item in turn]

    def _turn(self, item: Item) -> Request | None:
        return item.request if self.takes_turns else None


class Waiting:
    """The two lines of a model; each gets half of its time when both have work.

    While short requests come, one core is kept free of long ones, where there are several.
    """

    def __init__(self, limits: Limits, *, cores: int) -> None:
        """Nothing waits.

        Args:
            limits: of batches.
            cores: that run the model.
        """
        self._limits = limits
        self._long_cores = max(1, cores - 1)
        self._long_in_a_row = PATIENCE
        self._share: FairShare[Line] = FairShare()
        self.short = Line(max_batch_tokens=limits.max_batch_tokens, takes_turns=False)
        self.long = Line(
            max_batch_tokens=max(1, limits.max_batch_tokens // LONG_SHARE), takes_turns=True
        )

    @property
    def lines(self) -> tuple[Line, Line]:
        """Both."""
        return self.short, self.long

    def line_of(self, *, items: int, tokens: int) -> Line:
        """Where a request of so many windows and tokens waits."""
        is_long = (
            items > LONG_BATCHES * self._limits.max_batch_items
            or tokens > LONG_BATCHES * self._limits.max_batch_tokens
        )
        return self.long if is_long else self.short

    def is_ready(self, line: Line) -> bool:
        """Whether a batch of it may run now."""
        may_run = (
            line is self.short or line.running < self._long_cores or self._long_in_a_row >= PATIENCE
        )
        return len(line) > 0 and may_run

    def next(self) -> Line | None:
        """The line whose turn it is; None if none may run."""
        for line in self.lines:
            if self.is_ready(line):
                self._share.wake(line)
            else:
                self._share.rest(line)
        return self._share.next()

    def start(self, line: Line, batch: Iterable[Item]) -> None:
        """Note that a batch of a line runs."""
        line.pass_turn()
        line.remove(batch)
        line.running += 1
        self._share.charge(line, sum(item.num_tokens for item in batch))
        self._long_in_a_row = 0 if line is self.short else self._long_in_a_row + 1

    def tokens_until_done(self, line: Line, more: int) -> int:
        """Tokens that run until a line is empty, if it gets these more and then nothing comes."""
        own = line.tokens + more
        return own + sum(min(own, other.tokens) for other in self.lines if other is not line)
