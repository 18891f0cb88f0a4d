"""Logits to probabilities."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probabilities over the last axis, same shape."""
    shifted = logits.astype(np.float32) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probability of each logit by itself, same shape."""
    # tanh never overflows, exp does.
    probabilities: NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float32)))
    return probabilities
