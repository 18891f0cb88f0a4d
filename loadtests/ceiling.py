"""What the cores can do without a server: processes with one thread each, side by side."""

import json
import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

BATCH = 32
MEETING_TIMEOUT_S = 60

barrier: Barrier
"""Of this process and those beside it: none measures before all have warmed up."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A package, read with onnxruntime and tokenizers alone; long texts are cut to a window."""

    name: str
    session: onnxruntime.InferenceSession
    tokenizer: Tokenizer
    pad_id: int

    @classmethod
    def load(cls, package: Path) -> "Subject":
        manifest = json.loads((package / "manifest.json").read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.x64quantprecision", "1")  # as in the service
        session = onnxruntime.InferenceSession(
            package / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer.from_file(str(package / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(manifest["encoder"]["max_tokens"])
        name = f"{manifest['task']}/{manifest['model']}:{manifest['version']}"
        return cls(name, session, tokenizer, manifest["encoder"]["pad_id"])

    def run(self, texts: list[str]) -> tuple[int, int]:
        """Answer one batch; its useful and its padded number of tokens."""
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        lengths = np.array([len(row) for row in rows])
        shape = (len(rows), int(lengths.max()))
        input_ids = np.full(shape, self.pad_id, np.int64)
        for row, ids in zip(input_ids, rows, strict=True):
            row[: len(ids)] = ids
        mask: NDArray[np.int64] = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
        self.session.run(["logits"], {"input_ids": input_ids, "attention_mask": mask})
        return int(lengths.sum()), input_ids.size


def ceiling_per_s(package: Path, texts: Sequence[str], *, processes: int, seconds: float) -> float:
    """Texts a second through tokenizer and graph, in batches of 32, all processes together.

    Args:
        package: whose graph runs.
        texts: neighbours in length share a batch.
        processes: side by side.
        seconds: of measuring.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_meet, initargs=(context.Barrier(processes),)
    ) as pool:
        rates = [pool.submit(_rate, package, list(texts), seconds) for _ in range(processes)]
        return sum(rate.result() for rate in rates)


def _meet(shared: Barrier) -> None:
    global barrier
    barrier = shared


def _rate(package: Path, texts: list[str], seconds: float) -> float:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    subject = Subject.load(package)
    copies = math.lcm(len(texts), BATCH) // len(texts)
    ordered = sorted(texts * copies, key=len)
    batches = [ordered[at : at + BATCH] for at in range(0, len(ordered), BATCH)]
    for batch in batches:
        subject.run(batch)
    barrier.wait(MEETING_TIMEOUT_S)
    done = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for batch in batches:
            subject.run(batch)
            done += BATCH
    return done / (time.perf_counter() - begin)
