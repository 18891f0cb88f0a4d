"""How loyal students are to their teacher on the inputs of the load: the service measures it."""

import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from loadtests.contenders import Contenders
from loadtests.exposition import samples
from loadtests.inputs import inputs_of
from loadtests.servers import Service, fetch, service

AT_ONCE = 8
COMPARE_TIMEOUT_S = 120.0
POLL_S = 0.05
COUNTED = ("loyal_shadow_samples_total", "loyal_shadow_dropped_total")
MEASURES = ("label_ratio", "probability_ratio", "regression_mae")


def loyalties(contenders: Sequence[Contenders], *, model_store: str) -> Iterator[dict[str, Any]]:
    """Ask every student every input of its task once, with the teacher as its shadow.

    Yields:
        Of each student its task, model, number of inputs compared and the measures that it has.
    """
    with service(model_store, shadow_share=1, log_level="error") as loyal:
        for task in contenders:
            for student in task.students:
                yield {"task": task.task, "model": student} | ask(loyal, task.task, student)


def ask(loyal: Service, task: str, student: str) -> dict[str, float]:
    """Number of inputs compared, and the measures.

    Raises:
        RuntimeError: the teacher did not answer in time.
    """
    asked, wanted = 0, inputs_of(task)
    for inputs in (wanted[at : at + AT_ONCE] for at in range(0, len(wanted), AT_ONCE)):
        body = json.dumps({"inputs": inputs, "model": student}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{loyal.port}/v1/{task}",
            data=body,
            headers={"content-type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=COMPARE_TIMEOUT_S).close()
        asked += len(inputs)
        deadline = time.monotonic() + COMPARE_TIMEOUT_S
        while sum(of_student(loyal, name, task, student) or 0 for name in COUNTED) < asked:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{task}/{student}: the teacher compared nothing in time")
            time.sleep(POLL_S)
    found = {name: of_student(loyal, f"loyal_loyalty_{name}", task, student) for name in MEASURES}
    compared = of_student(loyal, COUNTED[0], task, student) or 0.0
    return {"n": compared} | {name: value for name, value in found.items() if value is not None}


def of_student(loyal: Service, name: str, task: str, student: str) -> float | None:
    """A metric of one model version, summed over its other labels; None if it has none."""
    model, _, version = student.partition(":")
    labels = {"task": task, "model": model, "version": version}
    text = fetch(loyal.port, "/metrics").decode()
    values = [value for found, value in samples(text, name) if labels.items() <= found.items()]
    return sum(values) if values else None
