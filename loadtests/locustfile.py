"""Closed-loop users of POST /v1/ner: each sends its next request when the last one is answered.

Run by `python -m loadtests.compare`; alone for a look at the web page of Locust:
`locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --model teacher`
"""

import itertools
import json
import random
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events, task
from locust.env import Environment

from loadtests.texts import TEXTS

samples: list[dict[str, Any]] = []
callers = itertools.count()


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--model", default="default", help="model or alias to ask for")
    parser.add_argument("--samples", default="", help="JSON file to write every request to")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the texts")


@events.quitting.add_listener
def write_samples(environment: Environment) -> None:
    if environment.parsed_options.samples:
        Path(environment.parsed_options.samples).write_text(json.dumps(samples), encoding="utf-8")


def fault(texts: list[str], answer: object) -> str | None:
    """What is wrong with the body of a reply; None if it fits the texts."""
    if not isinstance(answer, list) or len(answer) != len(texts):
        return f"{len(texts)} texts sent, the reply is not a list of as many"
    for text, entities in zip(texts, answer, strict=True):
        end = 0
        for entity in entities:
            if not end <= entity["start"] < entity["end"] <= len(text):
                return f"offsets {entity['start']}:{entity['end']} out of order or bounds"
            end = entity["end"]
            if entity["word"] != text[entity["start"] : end]:
                return f"word at {entity['start']}:{end} is not that part of the text"
    return None


class Caller(FastHttpUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        options = self.environment.parsed_options
        self.model = options.model
        self.random = random.Random(f"{options.seed} {next(callers)}")

    @task(9)
    def send_one(self) -> None:
        """Most calls carry one text."""
        self.send([self.random.choice(TEXTS)], "one text")

    @task(1)
    def send_several(self) -> None:
        """Some carry the sentences of a page."""
        self.send(self.random.sample(TEXTS, self.random.randint(2, 8)), "several texts")

    def send(self, texts: list[str], name: str) -> None:
        start = time.time()
        with self.client.post(
            "/v1/ner",
            json={"inputs": texts, "model": self.model},
            name=name,
            catch_response=True,
        ) as response:
            seconds = time.time() - start
            if response.status_code != 200:
                problem: str | None = f"status {response.status_code}"
            else:
                try:
                    problem = fault(texts, response.json())
                except (KeyError, TypeError, ValueError) as error:
                    problem = f"the reply is not as documented: {error!r}"
            if problem:
                response.failure(problem)
            samples.append(
                {
                    "start": start,
                    "seconds": seconds,
                    "texts": len(texts),
                    "problem": problem,
                    "model": (response.headers or {}).get("X-Model", ""),
                }
            )
