"""A request's texts to answers: encode, queue, decode; measured on the way."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.contract.errors import InputError
from app.contract.tokenization import EncodedText, Text
from app.errors import InferenceFailed, from_input_error
from app.isolation import Logits
from app.loading import ServedModel

INLINE_CHARS = 2000
"""Up to here encoding takes less time than handing it to a thread is worth to the event loop."""

Answer = TypeVar("Answer")
T = TypeVar("T")
Decode = Callable[[EncodedText, Sequence[Logits]], Answer]


@dataclass(frozen=True, slots=True)
class Prediction(Generic[Answer]):
    """The answers to a request, in the order of its texts.

    Attributes:
        answers: one a text.
        truncated: indices of the texts that were cut.
        num_tokens: of all windows, without padding.
        tokenization_s: time to encode all texts.
        queue_s: longest wait of a window.
        inference_s: longest batch that one of the windows was in.
    """

    answers: list[Answer]
    truncated: list[int]
    num_tokens: int
    tokenization_s: float
    queue_s: float
    inference_s: float


async def predict(
    model: ServedModel,
    texts: Sequence[Text],
    decode: Decode[Answer],
    *,
    truncate: bool,
    stride: int | None,
) -> Prediction[Answer]:
    """Answer texts; cancelling the call takes them out of the queue.

    Args:
        model: that answers.
        texts: checked inputs, each a string or a list of words.
        decode: encoded text and the logits of its windows -> answer.
        truncate: read the first window of a long text only.
        stride: tokens that neighbouring windows share; None for the package's.

    Raises:
        RequestError: a text or the stride cannot be used.
        ServiceError: see `Batcher.submit`.
    """
    inline = sum(len(t) if isinstance(t, str) else sum(map(len, t)) for t in texts) <= INLINE_CHARS
    start = time.monotonic()
    encoded = await _call(lambda: _encode(model, texts, truncate, stride), inline=inline)
    tokenization_s = time.monotonic() - start
    windows = [window for text in encoded for window in text.windows]
    owners = [index for index, text in enumerate(encoded) for _ in text.windows]
    try:
        outcomes = await model.batcher.submit(windows)
    except InferenceFailed as error:
        raise InferenceFailed(error.position, index=owners[error.position]) from error
    outputs: list[list[Logits]] = [[] for _ in encoded]
    for owner, outcome in zip(owners, outcomes, strict=True):
        outputs[owner].append(outcome.logits)
    answers = await _call(
        lambda: [decode(text, logits) for text, logits in zip(encoded, outputs, strict=True)],
        inline=inline,
    )
    prediction = Prediction(
        answers=answers,
        truncated=[index for index, text in enumerate(encoded) if text.truncated],
        num_tokens=sum(len(window.input_ids) for window in windows),
        tokenization_s=tokenization_s,
        queue_s=max(outcome.queue_s for outcome in outcomes),
        inference_s=max(outcome.inference_s for outcome in outcomes),
    )
    model.metrics.tokenization_duration.observe(tokenization_s)
    model.metrics.queue_duration.observe(prediction.queue_s)
    model.metrics.inference_duration.observe(prediction.inference_s)
    model.metrics.truncated_texts.inc(len(prediction.truncated))
    return prediction


def _encode(
    model: ServedModel, texts: Sequence[Text], truncate: bool, stride: int | None
) -> list[EncodedText]:
    encoder = model.package.encoder
    try:
        # Above half a window the number of windows, and so the work, would grow without bound.
        if stride is not None and stride > encoder.room // 2:
            detail = f"stride may be at most {encoder.room // 2} for this model, got {stride}"
            raise InputError("invalid_parameter", detail)
        return encoder.encode(texts, truncate=truncate, stride=stride)
    except InputError as error:
        raise from_input_error(error) from error


async def _call(function: Callable[[], T], *, inline: bool) -> T:
    return function() if inline else await asyncio.to_thread(function)
