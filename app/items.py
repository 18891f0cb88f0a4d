"""What waits in a queue, and what becomes of it."""

import asyncio
import time
from dataclasses import dataclass, field

from app.contract.encoded_text import Window, WindowOutputs
from app.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one window.

    Attributes:
        outputs: of the graph, by name.
        queue_s: from admission to the start of its batch.
        inference_s: of its batch.
    """

    outputs: WindowOutputs
    queue_s: float
    inference_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Windows that were submitted together.

    Attributes:
        deadline_s: monotonic time after which nobody wants the answer.
        admitted_s: monotonic time.
    """

    deadline_s: float
    admitted_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A waiting window; whoever waits for it cancels `future` to give it up.

    Attributes:
        window: to be run.
        position: in the request.
        future: set on the event loop.
        request: that it is part of.
    """

    window: Window
    position: int
    future: asyncio.Future[Outcome]
    request: Request

    @property
    def num_tokens(self) -> int:
        """Length without padding."""
        return self.window.num_tokens

    def answer(self, outcome: Outcome) -> None:
        """Hand over the outcome, on the event loop, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: ServiceError) -> None:
        """Hand over an error, on the event loop, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_exception(error)
