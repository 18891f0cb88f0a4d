"""How fast is a pQRNN in onnxruntime, and Transformers of its size?

python -m training.ablations.session_time

One Transformer has as many parameters, half of them embeddings, the other as many that are
multiplied. All have random weights, the outputs of a parse, and integer graphs as they are served.
CPU time of a batch on one thread, median of rounds in turns; ratios are to the pQRNN. One line of
JSON a model and a shape of batch.
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel

from app.contract.encoded_text import Arrays
from app.contract.heads import ParseHead
from training.export import export_model
from training.pqrnn import new_pqrnn
from training.pqrnn_export import export_pqrnn
from training.pqrnn_student import shape_of
from training.quantize import quantize
from training.recipe import PqrnnRecipe
from training.runners import onnx_runner
from training.task_model import TaskModel

ROUNDS = 30
PQRNN = "pQRNN"
SHAPES = ((1, 16), (1, 64), (32, 16), (32, 64))
HEAD = ParseHead(
    intents=tuple(f"IN:{n}" for n in range(113)),
    slots=("O", *(f"{bio}-SL:{n}" for n in range(77) for bio in "BI")),
)
VOCABULARY = 7500
TRANSFORMERS = {"as many parameters": (128, 4), "as many multiplied": (192, 6)}
"""Width and heads of four layers."""


def main() -> None:
    """Make both, run them in turns, compare."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        files = {
            name: Path(folder) / f"{number}.onnx"
            for number, name in enumerate((PQRNN, *TRANSFORMERS))
        }
        parameters = {PQRNN: _write_pqrnn(files[PQRNN])}
        for name, (width, heads) in TRANSFORMERS.items():
            parameters[name] = _write_transformer(files[name], width, heads)
        runs, grown = {}, {}
        for name, file in files.items():
            before = _resident()
            runs[name] = onnx_runner(file)
            runs[name](_batch(name, 1, 16))
            grown[name] = round((_resident() - before) / 1e6, 1)
        for name, file in files.items():
            facts = {"model": name, "parameters": parameters[name], "bytes": file.stat().st_size}
            _print(facts | {"rss_grown_mb": grown[name]})
        for rows, length in SHAPES:
            batches = {name: _batch(name, rows, length) for name in runs}
            taken: dict[str, list[float]] = {name: [] for name in runs}
            for measured in range(ROUNDS + 1):
                for name, run in runs.items():
                    started = time.process_time()
                    run(batches[name])
                    if measured:  # the first round warms up
                        taken[name].append(1000 * (time.process_time() - started))
            medians = {name: round(statistics.median(each), 3) for name, each in taken.items()}
            ratios = {name: round(each / medians[PQRNN], 2) for name, each in medians.items()}
            _print({"rows": rows, "length": length, "cpu_ms": medians, "ratios": ratios})


def _write_pqrnn(path: Path) -> int:
    model = new_pqrnn(shape_of(PqrnnRecipe(), dropout=0.0), HEAD, seed=0).eval()
    export_pqrnn(model, path, quantize=True)
    return sum(each.numel() for each in model.parameters())


def _write_transformer(path: Path, width: int, heads: int) -> int:
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=4,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=128,
    )
    model = TaskModel(BertModel(config, add_pooling_layer=False), HEAD).eval()
    fp32 = path.with_suffix(".fp32.onnx")
    export_model(model, fp32)
    model.config.save_pretrained(path.parent)  # optimum reads it
    quantize(fp32, path)
    return sum(each.numel() for each in model.parameters())


def _batch(name: str, rows: int, length: int) -> Arrays:
    generator = np.random.default_rng(0)
    mask = np.ones((rows, length), np.int64)
    if name == PQRNN:
        features = generator.integers(0, 81, (rows, length, PqrnnRecipe().features // 4))
        return {"features": features.astype(np.uint8), "attention_mask": mask}
    return {"input_ids": generator.integers(5, VOCABULARY, (rows, length)), "attention_mask": mask}


def _resident() -> int:
    """Memory of this process in bytes; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
