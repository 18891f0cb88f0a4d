"""One run of Locust against one model, and what came of it."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loadtests.exposition import totals
from loadtests.figures import differences
from loadtests.servers import Service, fetch, on_cores

HERE = Path(__file__).parent
WARM_UP_S = 2
LEEWAY_S = 1
"""Locust runs longer by this: its first request comes some time after its start."""
REFUSED = "status 429"


@dataclass(frozen=True, slots=True)
class Offered:
    """A load: users in closed loops, or open arrivals.

    Attributes:
        users: each of which waits for its reply; None for open arrivals.
        per_s: mean arrivals a second; None for closed loops.
    """

    users: int | None = None
    per_s: int | None = None

    def __str__(self) -> str:
        if self.users is None:
            return f"open, {self.per_s}/s"
        return "1 user" if self.users == 1 else f"{self.users} users"

    def arguments(self, seconds: float) -> list[str]:
        """Of Locust, for a run of this length."""
        if self.users is None:
            file, steps = "locustfile_open.py", ["--step-s", str(seconds)]
            return ["--locustfile", str(HERE / file), "--rates", str(self.per_s), *steps]
        users = ["--users", str(self.users), "--spawn-rate", str(self.users)]
        return ["--locustfile", str(HERE / "locustfile.py"), *users, "--run-time", f"{seconds}s"]


@dataclass(frozen=True, slots=True)
class Run:
    """What one model gave under one load.

    Attributes:
        latencies_ms: of answered requests with one input.
        texts_per_s: inputs answered a second.
        padding_share: of the tokens that the model computed.
        errors: requests that were neither answered nor refused (429), or wrongly.
    """

    task: str
    model: str
    offered: Offered
    repetition: int
    answered_by: tuple[str, ...]
    latencies_ms: tuple[float, ...]
    requests: int
    refused: int
    errors: int
    requests_per_s: float
    texts_per_s: float
    padding_share: float

    def percentile_ms(self, percent: float) -> float:
        """Of the latencies; not a number of none."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else math.nan


def run_locust(
    service: Service,
    task: str,
    model: str,
    offered: Offered,
    *,
    seconds: float,
    repetition: int,
    cores: Sequence[int],
) -> Run:
    """Load one model; what happens in the first two seconds does not count.

    Args:
        service: that has it.
        task: whose route is called.
        model: `<model>:<version>`.
        offered: the load.
        seconds: that count.
        repetition: seeds the order of the inputs.
        cores: that Locust may use.

    Raises:
        RuntimeError: Locust failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.json"
        arguments = offered.arguments(WARM_UP_S + seconds + LEEWAY_S)
        before = tokens(service)
        with on_cores(cores):
            finished = subprocess.run(
                [
                    *(sys.executable, "-m", "locust", *arguments),
                    *("--headless", "--only-summary", "--skip-log", "--loglevel", "ERROR"),
                    *("--host", f"http://127.0.0.1:{service.port}", "--stop-timeout", "12"),
                    *("--task", task, "--model", model),
                    *("--seed", str(repetition), "--samples", str(path)),
                ],
                stdout=subprocess.DEVNULL,
                check=False,
            )
        if not path.exists():
            raise RuntimeError(f"locust exited with {finished.returncode} and wrote no samples")
        samples = json.loads(path.read_text(encoding="utf-8"))
        used = differences(tokens(service), before)
    counted = counted_of(samples, seconds=seconds, by_end=offered.per_s is None)
    good = [sample for sample in counted if sample["problem"] is None]
    refused = sum(sample["problem"] == REFUSED for sample in counted)
    return Run(
        task=task,
        model=model,
        offered=offered,
        repetition=repetition,
        answered_by=tuple(sorted({sample["model"] for sample in good})),
        latencies_ms=tuple(1000 * s["seconds"] for s in good if s["texts"] == 1),
        requests=len(counted),
        refused=refused,
        errors=len(counted) - len(good) - refused,
        requests_per_s=len(good) / seconds,
        texts_per_s=sum(sample["texts"] for sample in good) / seconds,
        padding_share=used.get("padding", 0.0) / (sum(used.values()) or 1.0),
    )


def counted_of(
    samples: Sequence[dict[str, Any]], *, seconds: float, by_end: bool
) -> list[dict[str, Any]]:
    """The samples after the warm-up: those that end in time, or (open) that begin in time."""
    first = min((sample["start"] for sample in samples), default=0.0) + WARM_UP_S
    times = [s["start"] + s["seconds"] * by_end for s in samples]
    pairs = zip(samples, times, strict=True)
    return [sample for sample, time_s in pairs if first <= time_s < first + seconds]


def tokens(service: Service) -> dict[str, float]:
    """Tokens that the service has computed so far, by kind: useful or padding."""
    text = fetch(service.port, "/metrics").decode()
    return totals(text, "loyal_tokens_total", by="kind")
