"""What both locustfiles share: options, requests of every task, samples of what came of them."""

import itertools
import json
import random
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events
from locust.env import Environment

from loadtests.inputs import MIXES, draw
from loadtests.replies import fault

SEVERAL = 0.1
"""Share of the requests that carry 2 to 8 inputs, as the sentences of a page."""

samples: list[dict[str, Any]] = []
callers = itertools.count()


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--task", choices=list(MIXES), default="ner", help="route to load")
    parser.add_argument("--model", default="default", help="model or alias to ask for")
    parser.add_argument("--samples", default="", help="JSON file to write every request to")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the texts")


@events.init.add_listener
def look_at_the_clock(**_: object) -> None:
    """gevent's timers count from its last look at it: a slow start would shorten --run-time."""
    gevent.get_hub().loop.update_now()


@events.quitting.add_listener
def write_samples(environment: Environment) -> None:
    if environment.parsed_options.samples:
        Path(environment.parsed_options.samples).write_text(json.dumps(samples), encoding="utf-8")


class Caller(FastHttpUser):
    """Sends requests of one task to one model."""

    abstract = True

    def on_start(self) -> None:
        options = self.environment.parsed_options
        self.route, self.model = options.task, options.model
        # Of several processes each counts its callers from 0.
        process = getattr(self.environment.runner, "worker_index", 0)
        self.random = random.Random(f"{options.seed} {process} {next(callers)}")

    def send(self, due_s: float) -> float:
        """One request.

        Args:
            due_s: Unix time at which it was to be sent; its latency begins there.

        Returns:
            Seconds after which a refused request may come back; 0 of all others.
        """
        is_alone = self.random.random() >= SEVERAL
        count = 1 if is_alone else self.random.randint(2, 8)
        inputs = [draw(self.route, self.random) for _ in range(count)]
        with self.client.post(
            f"/v1/{self.route}",
            json={"inputs": inputs, "model": self.model},
            name=f"{self.route}, {'one input' if is_alone else 'several inputs'}",
            catch_response=True,
        ) as response:
            seconds = time.time() - due_s
            if response.status_code != 200:
                problem: str | None = f"status {response.status_code}"
            else:
                try:
                    problem = fault(self.route, inputs, response.json())
                except ValueError:
                    problem = "the reply is not JSON"
            if problem:
                response.failure(problem)
            samples.append(
                {
                    "start": due_s,
                    "seconds": seconds,
                    "texts": count,
                    "problem": problem,
                    "model": (response.headers or {}).get("X-Model", ""),
                }
            )
            return float((response.headers or {}).get("Retry-After", 0))
