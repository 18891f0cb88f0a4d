"""Sessions of packages that share a trunk: it is in memory once, however many are on it."""

import threading
import weakref
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.contract.adapters import HIDDEN, adapted
from app.contract.encoded_text import Arrays
from app.contract.pipeline import Package
from app.sessions import KNOWN_INPUTS, OnnxSession


class Trunks:
    """The trunks in use; one leaves with the last model on it."""

    def __init__(self) -> None:
        """None yet."""
        self._open: weakref.WeakValueDictionary[str, OnnxSession] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    @property
    def in_use(self) -> int:
        """How many are in memory."""
        return len(self._open)

    def open(self, package: Package) -> "OnnxSession | AdaptedSession":
        """The session of a package, on the CPU: of its own graph, or of that on its trunk.

        Raises:
            PackageError: not graphs that this service can feed and read.
        """
        if package.trunk_path is None:
            return OnnxSession(package.model_path, provider="cpu")
        adapters = OnnxSession(package.adapters_path, provider="cpu")({})
        with self._lock:
            trunk = self._open.get(package.trunk_path.stem)
            if trunk is None:
                inputs = KNOWN_INPUTS | adapters.keys()
                # It meets the shapes of all its tasks, and plans for each leave holes in the arena.
                trunk = OnnxSession(
                    package.trunk_path, provider="cpu", known_inputs=inputs, plan_memory=False
                )
                self._open[package.trunk_path.stem] = trunk
        inputs = frozenset({HIDDEN, "attention_mask"})
        head = OnnxSession(package.model_path, provider="cpu", known_inputs=inputs)
        return AdaptedSession(trunk, head, adapters)


class AdaptedSession:
    """A trunk with the adapters and the graph of one package; a `Runner`."""

    arithmetic: str | None = None

    def __init__(
        self,
        trunk: OnnxSession,
        head: OnnxSession,
        adapters: Mapping[str, NDArray[np.generic]],
    ) -> None:
        """Join them.

        Args:
            trunk: token arrays and adapters to hidden states.
            head: hidden states to the package's outputs.
            adapters: arrays by name.
        """
        self.trunk = trunk
        self.runtime = trunk.runtime
        self.provider = trunk.provider
        self.widths = head.widths
        self._run = adapted(trunk, head, adapters)

    def __call__(self, arrays: Arrays) -> Mapping[str, NDArray[np.generic]]:
        """Run one batch."""
        return self._run(arrays)
