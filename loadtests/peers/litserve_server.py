"""LitServe with batching: https://lightning.ai/docs/litserve/features/batching

As its documentation has it: batches in `LitAPI`, a worker a core, one HTTP server. A batch that is
not full waits 5 ms.
"""

import sys

import litserve

from loadtests.peers.model import MAX_BATCH, Entity, Model


class Ner(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = Model()

    def decode_request(self, request: dict[str, str]) -> str:
        return request["inputs"]

    def predict(self, texts: list[str]) -> list[list[Entity]]:
        return self.model(texts)

    def encode_response(self, entities: list[Entity]) -> list[Entity]:
        return entities


if __name__ == "__main__":
    api = Ner(max_batch_size=MAX_BATCH, batch_timeout=0.005, api_path="/ner")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
