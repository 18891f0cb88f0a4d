"""A request's texts to answers: encode, queue, decode; measured on the way."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.batching import Batcher
from app.contract.encoded_text import EncodedText, Input, LongInput, Pair, WindowOutputs
from app.contract.errors import InputError
from app.contract.pipeline import distinct_windows
from app.errors import InferenceFailed, from_input_error
from app.items import Outcome
from app.loading import ServedModel
from app.tasks.task import Decode

INLINE_CHARS = 2000
"""Up to here work on the inputs is done sooner than it is worth handing it to a thread."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answers to a request, in the order of its inputs.

    Attributes:
        answers: one an input, ready for JSON.
        encoded: the inputs.
        outputs: one an input: those of its windows.
        truncated: indices of the inputs that were cut.
        num_tokens: of all windows, without padding.
        tokenization_s: time to encode all inputs.
        queue_s: longest wait of a window.
        inference_s: longest batch that one of the windows was in.
        stages: name, start and end of each step, in seconds of time.monotonic().
    """

    answers: list[object]
    encoded: list[EncodedText]
    outputs: list[list[WindowOutputs]]
    truncated: list[int]
    num_tokens: int
    tokenization_s: float
    queue_s: float
    inference_s: float
    stages: Sequence[tuple[str, float, float]]


async def predict(
    model: ServedModel,
    inputs: Sequence[Input],
    decode: Decode,
    *,
    long: LongInput,
    stride: int | None,
    deadline_s: float | None = None,
) -> Prediction:
    """Answer inputs; cancelling the call takes them out of the queue.

    Args:
        model: that answers.
        inputs: checked.
        decode: an encoded input and the outputs of its windows -> its answer.
        long: what becomes of inputs longer than a window.
        stride: tokens that neighbouring windows share; None for the package's.
        deadline_s: monotonic time after which the answer is worth nothing.

    Raises:
        RequestError: an input or the stride cannot be used.
        ServiceError: see `Batcher.submit`.
    """
    refuse_if_full(model, inputs)
    start = time.monotonic()
    encoded = await compute(lambda: encode(model, inputs, long, stride), inputs)
    encoded_s = time.monotonic()
    tokenization_s = encoded_s - start
    outputs, outcomes = await run(model.batcher, encoded, deadline_s=deadline_s)
    answered_s = time.monotonic()
    answers = await compute(lambda: list(map(decode, encoded, outputs)), inputs)
    queue_s = max(outcome.queue_s for outcome in outcomes)
    inference_s = max(outcome.inference_s for outcome in outcomes)
    prediction = Prediction(
        answers=answers,
        encoded=encoded,
        outputs=outputs,
        truncated=[index for index, text in enumerate(encoded) if text.truncated],
        num_tokens=sum(window.num_tokens for window in distinct_windows(encoded)),
        tokenization_s=tokenization_s,
        queue_s=queue_s,
        inference_s=inference_s,
        stages=(
            ("tokenize", start, encoded_s),
            ("queue", encoded_s, encoded_s + queue_s),
            ("infer", answered_s - inference_s, answered_s),
            ("decode", answered_s, time.monotonic()),
        ),
    )
    model.latency.observe(time.monotonic() - start)
    model.metrics.tokenization_duration.observe(tokenization_s)
    model.metrics.queue_duration.observe(prediction.queue_s)
    model.metrics.inference_duration.observe(prediction.inference_s)
    model.metrics.truncated_texts.inc(len(prediction.truncated))
    return prediction


def refuse_if_full(model: ServedModel, inputs: Sequence[Input]) -> None:
    """Refuse what has no room, before it is encoded; see `Batcher.refuse_if_full`."""
    tokens = sum(map(code_points, inputs))  # a token is a character at least
    windows = len(inputs) + 2 * tokens // model.manifest.encoder.max_tokens  # half of one is new
    model.batcher.refuse_if_full(items=windows, tokens=tokens)


async def compute(function: Callable[[], T], inputs: Sequence[Input]) -> T:
    """Call what works on all inputs: at once if they are short, else on a thread."""
    inline = sum(map(code_points, inputs)) <= INLINE_CHARS
    return function() if inline else await asyncio.to_thread(function)


async def run(
    batcher: Batcher, encoded: Sequence[EncodedText], *, deadline_s: float | None = None
) -> tuple[list[list[WindowOutputs]], list[Outcome]]:
    """Run the windows of all inputs; one that several share, once.

    Returns:
        Per input the outputs of its windows; and what became of each distinct window.

    Raises:
        ServiceError: see `Batcher.submit`.
    """
    windows = distinct_windows(encoded)
    try:
        outcomes = await batcher.submit(windows, deadline_s=deadline_s)
    except InferenceFailed as error:
        failed = windows[error.position]
        index = next(i for i, text in enumerate(encoded) if failed in text.windows)
        raise InferenceFailed(error.position, index=index) from error
    of_window = dict(zip(windows, outcomes, strict=True))
    outputs = [[of_window[window].outputs for window in text.windows] for text in encoded]
    return outputs, outcomes


def code_points(given: Input) -> int:
    """Length of an input."""
    if isinstance(given, Pair):
        return len(given.first) + len(given.second)
    return len(given) if isinstance(given, str) else sum(map(len, given))


def encode(
    model: ServedModel, inputs: Sequence[Input], long: LongInput, stride: int | None
) -> list[EncodedText]:
    """Encode inputs as `predict` does.

    Raises:
        RequestError: an input or the stride cannot be used.
    """
    encoder = model.package.encoder
    try:
        # Above half a window the number of windows, and so the work, would grow without bound.
        if stride is not None and stride > encoder.room // 2:
            detail = f"stride may be at most {encoder.room // 2} for this model, got {stride}"
            raise InputError("invalid_parameter", detail)
        return encoder.encode(
            inputs,
            long=long,
            stride=stride,
            max_total_tokens=model.batcher.limits.max_request_tokens,
        )
    except InputError as error:
        raise from_input_error(error) from error
