"""How loyal students are to their teacher on the inputs of the load: the service measures it."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from loadtests.contenders import Contenders
from loadtests.exposition import samples
from loadtests.inputs import Input, inputs_of
from loadtests.servers import DIRECT, Service, fetch, service

AT_ONCE = 8
"""Inputs that wait for the teacher; the service drops what is above 64."""
UNSUITABLE = 422
COMPARE_TIMEOUT_S = 120.0
POLL_S = 0.05
COUNTED = ("loyal_shadow_samples_total", "loyal_shadow_dropped_total")
MEASURES = ("label_ratio", "probability_ratio", "regression_mae")
MEASURES += ("expected_label_ratio", "expected_regression_mae")


def loyalties(contenders: Sequence[Contenders], *, model_store: str) -> Iterator[dict[str, Any]]:
    """Ask every student every input of its task once, with the teacher as its shadow.

    Yields:
        Of each student its task, model, number of inputs compared and the measures that it has, or
        the reason why none could be taken: what was measured before must not be lost.
    """
    with service(model_store, shadow_share=1, log_level="error") as loyal:
        for task in contenders:
            for student in task.students:
                try:
                    found: dict[str, Any] = dict(ask(loyal, task.task, student))
                except (OSError, RuntimeError) as error:
                    found = {"n": 0, "reason": str(error)}
                yield {"task": task.task, "model": student} | found


def ask(loyal: Service, task: str, student: str) -> dict[str, float]:
    """Number of inputs compared, and the measures; what the student refuses is left out.

    Raises:
        RuntimeError: the teacher did not answer in time.
    """
    asked = 0
    for at, value in enumerate(wanted := inputs_of(task), start=1):
        asked += is_answered(loyal, task, student, value)
        if at % AT_ONCE == 0 or at == len(wanted):
            wait_for(loyal, task, student, asked)
    found = {name: of_student(loyal, f"loyal_loyalty_{name}", task, student) for name in MEASURES}
    compared = of_student(loyal, COUNTED[0], task, student) or 0.0
    return {"n": compared} | {name: value for name, value in found.items() if value is not None}


def is_answered(loyal: Service, task: str, student: str, value: Input) -> bool:
    body = json.dumps({"inputs": value, "model": student}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{loyal.port}/v1/{task}", body, {"content-type": "application/json"}
    )
    try:
        DIRECT.open(request, timeout=COMPARE_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        if error.code == UNSUITABLE:
            return False
        raise
    return True


def wait_for(loyal: Service, task: str, student: str, asked: int) -> None:
    """Until the teacher has answered so many inputs, or they were dropped."""
    deadline = time.monotonic() + COMPARE_TIMEOUT_S
    while sum(of_student(loyal, name, task, student) or 0 for name in COUNTED) < asked:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{task}/{student}: the teacher compared nothing in time")
        time.sleep(POLL_S)


def of_student(loyal: Service, name: str, task: str, student: str) -> float | None:
    """A metric of one model version, summed over its other labels; None if it has none."""
    model, _, version = student.partition(":")
    labels = {"task": task, "model": model, "version": version}
    text = fetch(loyal.port, "/metrics").decode()
    values = [value for found, value in samples(text, name) if labels.items() <= found.items()]
    return sum(values) if values else None
