"""Ray Serve with `@serve.batch`: https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html

A replica a core. The batch runs on a thread, so that the replica goes on reading requests; one that
is not full waits 5 ms.
"""

import asyncio
import signal
import sys

import ray
from ray import serve
from starlette.requests import Request

from loadtests.peers.model import MAX_BATCH, Entity, Model


@serve.deployment(num_replicas=2, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Ner:
    def __init__(self) -> None:
        self.model = Model()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.005)
    async def answer(self, texts: list[str]) -> list[list[Entity]]:
        return await asyncio.to_thread(self.model, texts)

    async def __call__(self, request: Request) -> list[Entity]:
        return await self.answer((await request.json())["inputs"])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    logging = {"enable_access_log": False, "log_level": "WARNING"}
    serve.run(Ner.bind(), route_prefix="/ner", logging_config=logging)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
