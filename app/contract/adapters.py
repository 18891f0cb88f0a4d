"""A model in two parts: a trunk that several packages share, and what one of them adds to it.

The trunk takes token arrays and adapters, and puts out hidden states; of these the package's own
graph makes its outputs. So any number of packages cost the memory of one trunk, in one session.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.contract.encoded_text import Arrays
from app.contract.pipeline import Outputs, Runner

HIDDEN = "last_hidden_state"
"""Output of a trunk, shape (rows, length, width), and input of the graphs on it."""


def adapted(trunk: Runner, head: Runner, adapters: Mapping[str, NDArray[np.generic]]) -> Runner:
    """A package on a trunk as one runner.

    Args:
        trunk: token arrays and adapters to `HIDDEN`.
        head: `HIDDEN` and `attention_mask` to the package's outputs.
        adapters: what the package's `ADAPTERS` puts out.
    """

    def run(arrays: Arrays) -> Outputs:
        hidden = trunk({**arrays, **adapters})
        return head({**hidden, "attention_mask": arrays["attention_mask"]})

    return run
