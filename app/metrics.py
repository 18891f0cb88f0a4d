"""Prometheus instruments: base units, labels task, model and version, never text or request ids."""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = tuple(0.001 * 2**power for power in range(14))
ITEMS = tuple(2**power for power in range(8))
TOKENS = tuple(2**power for power in range(5, 16))
MODEL = ("task", "model", "version")
REJECTIONS = {
    "queue_full": "queue_full",
    "deadline_exceeded": "deadline",
    "draining": "draining",
    "client_closed": "disconnected",
    "text_too_long": "too_long",
    "request_too_long": "too_long",
}
"""Error code -> reason of `loyal_rejected_total`."""

CASCADE_OUTCOMES = (
    "student",
    "teacher",
    "overloaded",
    "late",
    "failed",
    "unavailable",
    "refused",
)
"""Who answered an input of a cascade; or why the teacher did not, so that the student's stands."""

SHADOW_DROPS = ("full", "unavailable", "failed", "incomparable", "swapped", "stopped")
"""Why a sampled input was not compared with the teacher's answer."""


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The instruments of one model version, labels already applied."""

    queue_duration: Histogram
    tokenization_duration: Histogram
    inference_duration: Histogram
    batch_items: Histogram
    batch_padded_tokens: Histogram
    useful_tokens: Counter
    padding_tokens: Counter
    dispatched: dict[str, Counter]
    core_seconds: dict[str, Counter]
    bisections: Counter
    truncated_texts: Counter
    auto_requests: dict[str, Counter]
    cascade_inputs: dict[str, Counter]
    shadow_samples: Counter
    shadow_dropped: dict[str, Counter]


class Metrics:
    """All instruments of one application, in a registry of its own."""

    def __init__(self) -> None:
        """Create the instruments; nothing is counted yet."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter("requests", "Inference requests answered.", "code")
        self.rejected = self._counter("rejected", "Requests turned away.", "reason")
        self.request_duration = self._histogram(
            "request_duration_seconds", "From the request's arrival to its answer.", SECONDS
        )
        self.in_progress = Gauge(
            "loyal_requests_in_progress", "Inference requests now.", registry=self.registry
        )
        self._queue_duration = self._histogram(
            "queue_duration_seconds", "Longest wait of a request's windows.", SECONDS
        )
        self._tokenization_duration = self._histogram(
            "tokenization_duration_seconds", "Encoding of a request's inputs.", SECONDS
        )
        self._inference_duration = self._histogram(
            "inference_duration_seconds", "Longest batch that a request was part of.", SECONDS
        )
        self._batch_items = self._histogram("batch_items", "Windows in a batch.", ITEMS)
        self._batch_padded_tokens = self._histogram(
            "batch_padded_tokens", "Tokens of a batch, padding included.", TOKENS
        )
        self._tokens = self._counter("tokens", "Tokens run.", "kind")
        self._dispatched = self._counter("batch_dispatch", "Batches, by their bound.", "reason")
        self._core_seconds = self._counter("core_seconds", "Core time of batches.", "lane")
        self._batch_limit = self._gauge("batch_limit", "What a full batch holds.", "kind")
        self._bisections = self._counter("batch_bisections", "Failed batches split in two.")
        self._truncated = self._counter("truncated_texts", "Inputs cut to the first window.")
        self._auto = self._counter("auto_requests", "Answers that auto chose a model for.", "slo")
        self._cascade = self._counter("cascade_inputs", "Inputs of cascades.", "outcome")
        self._samples = self._counter(
            "shadow_samples", "Inputs compared with the teacher's answer."
        )
        self._dropped = self._counter("shadow_dropped", "Sampled inputs not compared.", "reason")
        self._loyalty = {
            "label_ratio": self._gauge("loyalty_label_ratio", "Labels that are the teacher's."),
            "probability_ratio": self._gauge(
                "loyalty_probability_ratio", "1 - Jensen-Shannon distance to the teacher."
            ),
            "regression_mae": self._gauge(
                "loyalty_regression_mae", "Mean distance to the teacher's score."
            ),
            "expected_label_ratio": self._gauge(
                "loyalty_expected_label_ratio", "The same on held-out data, of the manifest."
            ),
            "expected_regression_mae": self._gauge(
                "loyalty_expected_regression_mae", "The same on held-out data, of the manifest."
            ),
            "window_inputs": self._gauge(
                "loyalty_window_inputs", "Inputs that the loyalty gauges are about."
            ),
        }
        self._queue_items = self._gauge("queue_items", "Windows waiting.")
        self._queue_tokens = self._gauge("queue_tokens", "Tokens waiting.")
        self._oldest = self._gauge(
            "queue_oldest_age_seconds", "Age of the oldest short request that waits."
        )
        self._backlog = self._gauge(
            "queue_backlog_seconds", "Estimated time to work off what waits."
        )
        self.model_loaded = self._gauge("model_loaded", "1 if the model version serves.")
        self.model_failed = self._gauge(
            "model_failed", "1 if the model version is out of service for a fault."
        )
        self.load_duration = self._gauge(
            "model_load_duration_seconds", "From reading to warmed up."
        )
        self.model_info = self._gauge(
            "model_info", "1; what serves.", "format", "precision", "runtime", "provider"
        )
        self.cores = Gauge("loyal_cores", "Threads that run models.", registry=self.registry)
        self.build_info = Gauge(
            "loyal_build_info", "1; what runs.", ("release",), registry=self.registry
        )

    def for_model(self, task: str, model: str, version: str) -> ModelMetrics:
        """The instruments of one model version."""
        labels = (task, model, version)
        return ModelMetrics(
            queue_duration=self._queue_duration.labels(*labels),
            tokenization_duration=self._tokenization_duration.labels(*labels),
            inference_duration=self._inference_duration.labels(*labels),
            batch_items=self._batch_items.labels(*labels),
            batch_padded_tokens=self._batch_padded_tokens.labels(*labels),
            useful_tokens=self._tokens.labels(*labels, "useful"),
            padding_tokens=self._tokens.labels(*labels, "padding"),
            dispatched={
                reason: self._dispatched.labels(*labels, reason)
                for reason in ("full", "budget", "idle")
            },
            core_seconds={
                lane: self._core_seconds.labels(*labels, lane) for lane in ("normal", "background")
            },
            bisections=self._bisections.labels(*labels),
            truncated_texts=self._truncated.labels(*labels),
            cascade_inputs={
                outcome: self._cascade.labels(*labels, outcome) for outcome in CASCADE_OUTCOMES
            },
            shadow_samples=self._samples.labels(*labels),
            shadow_dropped={
                reason: self._dropped.labels(*labels, reason) for reason in SHADOW_DROPS
            },
            auto_requests={slo: self._auto.labels(*labels, slo) for slo in ("met", "missed")},
        )

    def watch_queue(
        self,
        task: str,
        model: str,
        version: str,
        *,
        items: Callable[[], float],
        tokens: Callable[[], float],
        oldest_age_s: Callable[[], float],
        backlog_s: Callable[[], float],
    ) -> None:
        """Read the queue gauges of one model version when they are scraped."""
        labels = (task, model, version)
        self._queue_items.labels(*labels).set_function(items)
        self._queue_tokens.labels(*labels).set_function(tokens)
        self._oldest.labels(*labels).set_function(oldest_age_s)
        self._backlog.labels(*labels).set_function(backlog_s)

    def set_batch_limits(
        self, task: str, model: str, version: str, *, items: int, tokens: int
    ) -> None:
        """What a full batch of one model version holds: `batch_items` over it is the fill."""
        self._batch_limit.labels(task, model, version, "items").set(items)
        self._batch_limit.labels(task, model, version, "tokens").set(tokens)

    def forget_model(self, task: str, model: str, version: str) -> None:
        """Drop what describes a loaded model version; what was counted stays."""
        labels = dict(zip(MODEL, (task, model, version), strict=True))
        for gauge in (
            self._queue_items,
            self._queue_tokens,
            self._oldest,
            self._backlog,
            self._batch_limit,
            self.model_info,
            *self._loyalty.values(),
        ):
            gauge.remove_by_labels(labels)

    def watch_loyalty(
        self, task: str, model: str, version: str, gauge: str, value: Callable[[], float]
    ) -> None:
        """Read a loyalty gauge of one model version when it is scraped."""
        self._loyalty[gauge].labels(task, model, version).set_function(value)

    def forget_loyalty(self, task: str, model: str, version: str) -> None:
        """Drop the loyalty gauges of one model version."""
        for gauge in self._loyalty.values():
            gauge.remove_by_labels(dict(zip(MODEL, (task, model, version), strict=True)))

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"loyal_{name}", text, (*MODEL, *labels), registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"loyal_{name}", text, (*MODEL, *labels), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"loyal_{name}", text, MODEL, registry=self.registry, buckets=buckets)
