"""Packages side by side in process: what the graph costs without HTTP, queue and batching.

Reads the packages with onnxruntime and tokenizers alone. Long texts are cut to the model's longest
window. Writes results/session.json and RESULTS.md.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from loadtests.figures import spread
from loadtests.report import record
from loadtests.texts import TEXTS


@dataclass(frozen=True, slots=True)
class Subject:
    """A package to be timed."""

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


def main() -> None:
    args = parse_arguments()
    subjects = [Subject.load(package) for package in args.packages or default_packages()]
    rows = [row for size in args.batch_sizes for row in bench(subjects, size, args.repetitions)]
    result = {
        "repetitions": args.repetitions,
        "texts": len(TEXTS),
        "rows": rows,
    }
    print(record("session", result))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench_session",
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="example: python -m loadtests.bench_session model_store/ner/teacher-ro/2 "
        "model_store/ner/distil-ro/3",
    )
    parser.add_argument(
        "packages",
        nargs="*",
        type=Path,
        help="package folders, the one to compare with first; without any, the newest versions "
        "that the aliases teacher and default of the task ner name",
    )
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 32], help="texts a run")
    parser.add_argument("--repetitions", type=int, default=7, help="passes over the texts")
    return parser.parse_args()


def default_packages() -> list[Path]:
    task = Path("model_store/ner")
    aliases = json.loads((task / "aliases.json").read_text(encoding="utf-8"))
    return [newest(task, aliases[alias]) for alias in ("teacher", "default")]


def newest(task: Path, name: str) -> Path:
    """Folder of `<model>` or `<model>:<version>`."""
    model, _, version = name.partition(":")
    versions = [path for path in (task / model).iterdir() if path.name.isdigit()]
    return task / model / (version or max(versions, key=lambda path: int(path.name)).name)


def bench(subjects: list[Subject], batch_size: int, repetitions: int) -> list[dict[str, Any]]:
    # Neighbours in length share a batch, as they do in the service.
    ordered = sorted(TEXTS, key=len)
    batches = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    padding: dict[str, float] = {}
    for subject in subjects:  # also warms up
        useful, padded = np.sum([subject.run(batch) for batch in batches], axis=0)
        padding[subject.name] = float(1 - useful / padded)
    times_ms: dict[str, list[list[float]]] = {subject.name: [] for subject in subjects}
    for repetition in range(repetitions):
        for subject in subjects if repetition % 2 == 0 else subjects[::-1]:
            times_ms[subject.name].append([timed_ms(subject, batch) for batch in batches])
        print(f"batch {batch_size}: pass {repetition + 1} of {repetitions}", file=sys.stderr)
    reference = [sum(one) for one in times_ms[subjects[0].name]]
    rows = []
    for name, passes in times_ms.items():
        p50, p95, p99 = np.percentile(np.concatenate(passes), [50, 95, 99])
        totals = [sum(one) for one in passes]
        speed_ups = [theirs / ours for theirs, ours in zip(reference, totals, strict=True)]
        rows.append(
            {
                "model": name,
                "batch_size": batch_size,
                "p50_ms": p50,
                "p95_ms": p95,
                "p99_ms": p99,
                "texts_per_s": 1000 * len(TEXTS) / statistics.median(totals),
                "padding_share": padding[name],
                "speed_up": spread(speed_ups),
            }
        )
    return rows


def timed_ms(subject: Subject, batch: list[str]) -> float:
    start = time.perf_counter()
    subject.run(batch)
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
