"""FastAPI and a transformers pipeline, over onnxruntime (optimum) or torch.

As https://huggingface.co/docs/transformers/pipeline_webserver has it, with dynamic batching: a
queue, one loop that takes what is there, waits 1 ms for more, and runs one batch at a time, here on
a thread and with both cores.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse
from transformers import AutoTokenizer

from loadtests.peers.hub_folder import write_config, write_weights
from loadtests.peers.model import MAX_BATCH

THREADS = 2
WAIT_S = 0.001
Waiting = tuple[str, asyncio.Future[Any]]


def make_pipeline(engine: str, folder: Path) -> Any:  # noqa: ANN401 - of either library
    package = Path(os.environ["PEER_PACKAGE"])
    write_config(package, folder)
    if engine == "onnxruntime":
        import onnxruntime
        from optimum.onnxruntime import ORTModelForTokenClassification, pipeline

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        model = ORTModelForTokenClassification.from_pretrained(folder, session_options=options)
    else:
        import torch
        from transformers import AutoModelForTokenClassification, pipeline

        torch.set_num_threads(THREADS)
        write_weights(package, folder)
        model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    return pipeline(
        "token-classification",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(folder),
        aggregation_strategy="first",
    )


async def run_batches(pipe: Any, queue: asyncio.Queue[Waiting]) -> None:  # noqa: ANN401
    while True:
        batch = [await queue.get()]
        while len(batch) < MAX_BATCH:
            try:
                batch.append(await asyncio.wait_for(queue.get(), WAIT_S))
            except TimeoutError:
                break
        texts = [text for text, _ in batch]
        answers = await asyncio.to_thread(pipe, texts, batch_size=len(texts))
        for (_, future), entities in zip(batch, answers, strict=True):
            future.set_result([e | {"score": float(e["score"])} for e in entities])


def make_app(pipe: Any) -> FastAPI:  # noqa: ANN401
    queue: asyncio.Queue[Waiting] = asyncio.Queue()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(run_batches(pipe, queue))
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.post("/ner")
    async def ner(request: Request) -> JSONResponse:
        future = asyncio.get_running_loop().create_future()
        await queue.put(((await request.json())["inputs"], future))
        return JSONResponse(await future)

    return app


if __name__ == "__main__":
    port, engine, folder = sys.argv[1:]
    app = make_app(make_pipeline(engine, Path(folder)))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)
