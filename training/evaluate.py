"""Scores of any engine on a labelled split, through the pipeline that serves."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.decoding import decode_tags, entities, word_logits
from app.contract.encoded_text import Text
from app.contract.heads import SpanHead
from app.contract.manifest import Score
from app.contract.pipeline import Runner, predict_outputs
from app.contract.probabilities import softmax
from app.contract.tokenization import SubwordTokenizer
from training.datasets.examples import TaggedSentence
from training.loyalty import label_loyalty, probability_loyalty
from training.metrics import Span, strict_f1

Record = dict[str, Any]
"""Content of eval.json, or a part of it."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Something that can be measured: an encoder, a runner and the head of its outputs."""

    encoder: SubwordTokenizer
    run: Runner
    head: SpanHead


@dataclass(frozen=True, slots=True)
class Predictions:
    """What an engine says about a split.

    Attributes:
        probabilities: per word, shape (words, labels), all sentences in order.
        sentence: sentence of each word, shape (words,).
        spans: per sentence, over the corpus's words: (type, first word, end word).
        raw_spans: per sentence, over the running text: (type, start, end) in code points.
    """

    probabilities: NDArray[np.float32]
    sentence: NDArray[np.int64]
    spans: list[set[Span]]
    raw_spans: list[set[Span]]


def predict_split(engine: Engine, sentences: Sequence[TaggedSentence]) -> Predictions:
    """Run a split twice: as the corpus's words, and as running text."""
    probabilities, owners, spans = [], [], []
    words = [sentence.words for sentence in sentences]
    labels = engine.head.labels
    predicted = predict_outputs(engine.encoder, engine.head, engine.run, words)
    for owner, (encoded, outputs) in enumerate(predicted):
        indices, rows = word_logits(encoded, outputs)
        full = np.zeros((len(encoded.words), len(labels)), np.float32)
        full[:, labels.index("O")] = 1.0
        full[indices] = softmax(rows)
        probabilities.append(full)
        owners.append(np.full(len(full), owner))
        first = {word.start: i for i, word in enumerate(encoded.words)}
        last = {word.end: i for i, word in enumerate(encoded.words)}
        found = entities(encoded, decode_tags(encoded, outputs, labels))
        spans.append({(e.label, first[e.start], last[e.end] + 1) for e in found})
    texts = [sentence.text for sentence in sentences]
    raw = [
        {
            (e.label, e.start, e.end)
            for e in entities(encoded, decode_tags(encoded, outputs, labels))
        }
        for encoded, outputs in predict_outputs(engine.encoder, engine.head, engine.run, texts)
    ]
    return Predictions(np.concatenate(probabilities), np.concatenate(owners), spans, raw)


def gold_spans(sentence: TaggedSentence) -> set[Span]:
    """Gold spans over words: (type, first word, end word)."""
    spans: set[Span] = set()
    start = 0
    tags = [*(sentence.tags or ()), "O"]
    for i, tag in enumerate(tags):
        inside = i > 0 and tags[i - 1] != "O" and tag == f"I-{tags[i - 1][2:]}"
        if not inside:
            if i > 0 and tags[i - 1] != "O":
                spans.add((tags[start][2:], start, i))
            start = i
    return spans


def quality(predictions: Predictions, sentences: Sequence[TaggedSentence]) -> dict[str, Score]:
    """Strict span F1 over the corpus's words, and over running text, with intervals."""
    gold = [gold_spans(sentence) for sentence in sentences]
    placed = [
        {(label, s.word_spans[a][0], s.word_spans[b - 1][1]) for label, a, b in spans}
        for s, spans in zip(sentences, gold, strict=True)
    ]
    return {
        "strict_f1": strict_f1(predictions.spans, gold),
        "strict_f1_running_text": strict_f1(predictions.raw_spans, placed),
    }


def per_type(predictions: Predictions, sentences: Sequence[TaggedSentence]) -> dict[str, Score]:
    """Strict F1 of each entity type."""
    gold = [gold_spans(sentence) for sentence in sentences]
    types = sorted({label for spans in gold for label, _, _ in spans})

    def only(name: str, spans: list[set[Span]]) -> list[set[Span]]:
        return [{span for span in each if span[0] == name} for each in spans]

    return {name: strict_f1(only(name, predictions.spans), only(name, gold)) for name in types}


def loyalty(teacher: Predictions, student: Predictions) -> dict[str, Score]:
    """Agreement of a student with its teacher on the same words."""
    pair = teacher.probabilities, student.probabilities, teacher.sentence
    return {
        "label_loyalty": label_loyalty(*pair),
        "probability_loyalty": probability_loyalty(*pair),
        "probability_loyalty_base2": probability_loyalty(*pair, base=2),
        "span_loyalty": strict_f1(student.spans, teacher.spans),
    }


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
    engines: dict[str, Engine], texts: Sequence[Text], *, batch_size: int, rounds: int = 7
) -> dict[str, Speed]:
    """Time engines in turn, round by round, so that a drifting machine hurts all alike.

    Texts are grouped by length, as the service does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    by_length = sorted(texts, key=len)
    batches = [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
    for measured in range(rounds + 1):
        for name, engine in engines.items():
            started = time.perf_counter()
            for batch in batches:
                encoded = engine.encoder.encode(batch)
                windows = [window for text in encoded for window in text.windows]
                engine.run(engine.encoder.collate(windows))
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
