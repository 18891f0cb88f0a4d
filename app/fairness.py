"""Who gets the next core: start-time fair queueing on core seconds, without clock or threads.

P. Goyal, H. M. Vin, H. Cheng: Start-time Fair Queuing, https://doi.org/10.1109/90.649569
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

Flow = TypeVar("Flow")


class FairShare(Generic[Flow]):
    """Equal core time for all flows that have work; one that had none keeps no credit.

    A flow's tag is the core time it was granted, on a scale that all share; the lowest tag is next.
    Whoever comes back from idleness starts where the others are, not where it left off.
    """

    def __init__(self) -> None:
        """No flow has work."""
        self._tags: dict[Flow, float] = {}
        # A dict keeps the order of arrival, which decides between equal tags.
        self._backlog: dict[Flow, None] = {}
        self._virtual_s = 0.0

    def __bool__(self) -> bool:
        """Whether a flow has work."""
        return bool(self._backlog)

    def wake(self, flow: Flow) -> None:
        """Note that a flow has work; nothing changes for one that is known to have some."""
        if flow not in self._backlog:
            self._backlog[flow] = None
            self._tags[flow] = max(self._tags.get(flow, 0.0), self._virtual_s)

    def rest(self, flow: Flow) -> None:
        """Note that a flow has no work now."""
        self._backlog.pop(flow, None)

    def leave(self, flow: Flow) -> None:
        """Forget a flow."""
        self.rest(flow)
        self._tags.pop(flow, None)

    def next(self) -> Flow | None:
        """The flow whose turn it is; None if none has work."""
        if not self._backlog:
            return None
        flow = min(self._backlog, key=self._tags.__getitem__)
        self._virtual_s = max(self._virtual_s, self._tags[flow])
        return flow

    def charge(self, flow: Flow, seconds: float) -> None:
        """Count core time of a flow: what is expected when it is granted, later the difference."""
        if flow in self._tags:
            self._tags[flow] += seconds


def finish_s(own_s: float, others_s: Sequence[float], *, cores: int) -> float:
    """When a flow's work will be done under equal shares, if no more arrives.

    Until then every other flow gets as much core time as this one, or all that it wants.

    >>> finish_s(2.0, [0.5, 8.0], cores=2)
    2.25

    Args:
        own_s: core seconds that the flow wants.
        others_s: core seconds that each of the others wants.
        cores: that all of them share.
    """
    return (own_s + sum(min(other_s, own_s) for other_s in others_s)) / cores
