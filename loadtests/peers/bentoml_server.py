"""BentoML with adaptive batching: https://docs.bentoml.com/en/latest/get-started/adaptive-batching.html

A worker a core, each with its batches, and a latency bound that refuses nothing. Served by
`bentoml serve`.
"""

import bentoml

from loadtests.peers.model import MAX_BATCH, Entity, Model


@bentoml.service(workers=2, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Ner:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=10_000)
    def ner(self, inputs: list[str]) -> list[list[Entity]]:
        return self.model(inputs)
