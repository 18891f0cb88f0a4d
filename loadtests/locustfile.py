"""Closed-loop users: each sends its next request when the last one is answered, or may come back.

Run by `python -m loadtests.compare`; alone for a look at the web page of Locust:
`locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --task ner --model teacher`
"""

import time

import gevent
from locust import constant, task

from loadtests.callers import Caller


class ClosedLoopUser(Caller):
    wait_time = constant(0)

    @task
    def ask(self) -> None:
        gevent.sleep(self.send(time.time()))
