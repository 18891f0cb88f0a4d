"""How fast engines are, one thread each, in turn."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.contract.encoded_text import Input, Pair
from app.contract.pipeline import distinct_windows
from training.evaluate import Engine


@dataclass(frozen=True, slots=True)
class Speed:
    """Single-thread speed of one engine at one batch size; medians over rounds.

    Attributes:
        texts_per_second: encoder, network and padding included.
        milliseconds: per batch.
        ratio: to the first engine measured, median of the ratios within each round.
    """

    texts_per_second: float
    milliseconds: float
    ratio: float


def measure_speed(
    engines: dict[str, Engine], texts: Sequence[Input], *, batch_size: int, rounds: int = 7
) -> dict[str, Speed]:
    """Time engines in turn, round by round, so that a drifting machine hurts all alike.

    Texts are grouped by length, as the service does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    by_length = sorted(texts, key=_size)
    batches = [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
    for measured in range(rounds + 1):
        for name, engine in engines.items():
            started = time.perf_counter()
            for batch in batches:
                encoded = engine.encoder.encode(batch, long=engine.head.long)
                engine.run(engine.encoder.collate(distinct_windows(encoded)))
            if measured > 0:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    first = seconds[next(iter(engines))]
    return {
        name: Speed(
            texts_per_second=round(len(texts) / float(np.median(taken)), 1),
            milliseconds=round(1000 * float(np.median(taken)) / len(batches), 3),
            ratio=round(float(np.median([a / b for a, b in zip(first, taken, strict=True)])), 2),
        )
        for name, taken in seconds.items()
    }


def _size(text: Input) -> int:
    return len(text.first) + len(text.second) if isinstance(text, Pair) else len(text)
