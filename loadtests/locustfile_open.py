"""Open arrivals: requests come at Poisson times, however the service is doing.

A user here is a source of one request a second on average; the shape has as many as the rate is.
`locust -f loadtests/locustfile_open.py --host http://127.0.0.1:8000 --task ner --rates 10 20 40`
"""

import time
from argparse import ArgumentParser

import gevent
from gevent.pool import Group
from locust import LoadTestShape, events, task

from loadtests.callers import Caller

LAST_REPLY_S = 10.0


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--rates", nargs="+", type=int, default=[10], help="requests a second")
    parser.add_argument("--step-s", type=float, default=30.0, help="seconds at each of the rates")


class Steps(LoadTestShape):
    """The rates, one after the other."""

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        step = int(self.get_run_time() / options.step_s)
        if step >= len(options.rates):
            return None
        return options.rates[step], max(options.rates)


class Source(Caller):
    """A Poisson process; those of several sources add up to one."""

    concurrency = 1000
    """Requests of one source that may wait for their replies."""

    def on_start(self) -> None:
        super().on_start()
        self.waiting = Group()
        self.due_s = time.time()
        gevent.sleep(self.wait_time())

    def on_stop(self) -> None:
        self.waiting.join(LAST_REPLY_S)

    def wait_time(self) -> float:
        self.due_s += self.random.expovariate(1)
        return max(0.0, self.due_s - time.time())

    @task
    def arrive(self) -> None:
        self.waiting.spawn(self.send, self.due_s)
